"""The script that trains melodies-musicgen runs from end to end; its codes lie as `generate` reads them."""

import dataclasses
import json

import pytest
import torch

from anylens.zoo import check, load_model, load_processor
from anylens.zoo.codes import before, delayed
from anylens.zoo.train import melodies_codec, melodies_musicgen
from anylens.zoo.train.melodies_codec import CODEBOOKS, CODES, HOP
from anylens.zoo.train.melodies_musicgen import FRAMES, written
from anylens.zoo.worlds.melodies import WORDINGS, MelodiesBatch, Melody, sample


@pytest.fixture(scope="module")
def processor():
    return melodies_musicgen.processor()


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    made = melodies_codec.untrained()
    for layer in made.quantizer.layers:
        layer.codebook.embed.normal_(std=0.1)
    return made.eval()


def test_two_steps_write_a_model_that_loads(tmp_path, monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"followed": 0.5})
    monkeypatch.setattr(melodies_musicgen, "POOL", 8)
    monkeypatch.setattr(melodies_musicgen, "PART", 8)
    monkeypatch.setattr(melodies_codec, "POOL", 8)
    monkeypatch.setattr(melodies_codec, "ROUNDS", 1)
    melodies_musicgen.SCRIPT.main(["--steps", "2", "--folder", str(tmp_path), "--threads", str(threads)])
    model = load_model("melodies-musicgen", folder=tmp_path)
    told = load_processor("melodies-musicgen", folder=tmp_path)(
        text=["flute, major, slow, up"], return_tensors="pt"
    )
    assert model.generate(**told).shape == (1, 1, 8000)
    assert json.loads((tmp_path / "card.json").read_text())["steps"] == 2
    assert '"followed": 0.5' in capsys.readouterr().out


def test_every_word_of_every_caption_is_one_token(processor):
    for wording in range(len(WORDINGS)):
        one = Melody(instrument="organ", scale="minor", tempo="fast", direction="down", wording=wording)
        tokens = processor.tokenizer(one.caption).input_ids
        assert len(tokens) == len(one.caption.replace(",", " ,").split()) + 1
        assert len(tokens) <= melodies_musicgen.WORDS
        assert processor.tokenizer.unk_token_id not in tokens
        assert processor.tokenizer.decode(tokens, skip_special_tokens=True) == one.caption


def test_codebooks_begin_one_after_the_other():
    codes = torch.arange(10).reshape(1, 2, 5)
    found = delayed(codes, empty=CODES)
    assert found.tolist() == [[[0, 1, 2, 3, 4, CODES], [CODES, 5, 6, 7, 8, 9]]]
    assert before(found, start=CODES).tolist() == [[CODES, 0, 1, 2, 3, 4], [CODES, CODES, 5, 6, 7, 8]]


def test_frames_where_a_note_begins_count_more():
    one = Melody(instrument="organ", scale="minor", tempo="slow", direction="down")
    counts = melodies_musicgen.counted(MelodiesBatch.of([one]))
    assert counts.shape == (1, FRAMES)
    places = (counts[0] > 1).nonzero().flatten().tolist()
    assert places == [0, 1, *(first + near for first in (20, 40, 60) for near in (-1, 0, 1))]


def test_what_training_asks_for_is_what_generate_writes(processor, codec, monkeypatch):
    torch.manual_seed(1)
    model = melodies_musicgen.untrained(codec, processor.tokenizer).eval()
    batch = sample(3, seed=0)
    told = processor.tokenizer(batch.captions, padding=True, return_tensors="pt")
    decoded, heard = [], codec.decode
    monkeypatch.setattr(
        codec, "decode", lambda codes, *rest, **more: decoded.append(codes) or heard(codes, *rest, **more)
    )
    sound = model.generate(**told, do_sample=False, guidance_scale=1.0)
    assert sound.shape == (3, 1, 8000)
    codes = decoded[0][0]
    assert codes.shape == (3, CODEBOOKS, FRAMES)
    given = dataclasses.replace(
        written(batch, codec=codec, tokenizer=processor.tokenizer), codes=delayed(codes, empty=CODES)
    )
    kept = {}
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **given: kept.setdefault("out", forward(**given)))
    melodies_musicgen.loss_of(model, given)
    likeliest = kept["out"].logits.argmax(-1).view(3, CODEBOOKS, -1)
    assert torch.equal(likeliest[given.codes != CODES], given.codes[given.codes != CODES])


def test_a_caption_that_is_not_heard_is_what_guidance_leads_away_from(processor, codec):
    torch.manual_seed(1)
    model = melodies_musicgen.untrained(codec, processor.tokenizer).eval()
    one = written(sample(2, seed=0), codec=codec, tokenizer=processor.tokenizer)
    other = dataclasses.replace(
        one, input_ids=one.input_ids.flip(0), attention_mask=one.attention_mask.flip(0)
    )
    with torch.no_grad():
        known = [melodies_musicgen.loss_of(model, given) for given in (one, other)]
        left_out = [
            melodies_musicgen.loss_of(model, given, heard=torch.zeros(2, dtype=bool))
            for given in (one, other)
        ]
    assert known[0] != known[1]
    assert left_out[0] == left_out[1]
    assert left_out[0].isfinite()


def test_the_codec_begins_as_a_transform_and_its_inverse():
    torch.manual_seed(0)
    model, waveform = melodies_codec.untrained().eval(), sample(4, seed=3).waveform[:, None]
    with torch.no_grad():
        frames = model.encoder(waveform)
        again = model.decoder(frames)
    assert frames.shape == (4, HOP, FRAMES)
    assert (again - waveform).square().mean() < 0.05 * waveform.square().mean()


def test_codebooks_are_laid_out_where_the_frames_are():
    torch.manual_seed(0)
    model, waveform = melodies_codec.untrained().eval(), sample(16, seed=3).waveform[:, None]
    melodies_codec.lay_out(model, waveform)
    with torch.no_grad():
        apart = melodies_codec.rounded(model, waveform) - model.encoder(waveform)
    assert apart.square().mean() < 0.1 * waveform.square().mean()
    assert all(len(one.unique()) > 300 for one in model.encode(waveform).audio_codes[0].unbind(1))


def test_means_are_those_of_the_clusters():
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = middles.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2)
    means, counts = melodies_codec.k_means(points, 3)
    nearest = torch.cdist(means, middles).min(1)
    assert nearest.indices.sort().values.tolist() == [0, 1, 2]
    assert nearest.values.max() < 0.1
    assert counts.tolist() == [50, 50, 50]


def test_a_sound_differs_not_from_itself_and_more_from_silence_than_from_its_like():
    one = sample(1, seed=2).waveform[:, None]
    assert melodies_codec.difference(one, one) == 0
    assert melodies_codec.difference(0.9 * one, one) < melodies_codec.difference(0 * one, one)
