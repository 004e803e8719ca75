"""The script that trains melodies-musicgen runs from end to end; its codes lie as `generate` reads them."""

import dataclasses
import json

import pytest
import torch

from anylens.zoo import check, load_model, load_processor, names
from anylens.zoo.train import melodies_codec, melodies_musicgen
from anylens.zoo.train.melodies_musicgen import CODES, delayed, written
from anylens.zoo.worlds.melodies import WORDINGS, Melody, sample


@pytest.fixture(scope="module")
def processor():
    return melodies_musicgen.processor()


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    made = melodies_codec.untrained()
    for layer in made.quantizer.layers:
        layer.codebook.embed.normal_()
    return made.eval()


@pytest.mark.skipif("melodies-musicgen" not in names(), reason="its trained weights do not ship yet")
def test_two_steps_write_a_model_that_loads(tmp_path, monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"followed": 0.5})
    monkeypatch.setattr(melodies_musicgen, "POOL", 8)
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
    codes = torch.arange(10).reshape(1, 5, 2).repeat(1, 1, 2)
    found = delayed(codes)
    assert found.shape == (1, 8, 4)
    assert found[0, :, 0].tolist() == [0, 2, 4, 6, 8, CODES, CODES, CODES]
    assert found[0, :, 3].tolist() == [CODES, CODES, CODES, 1, 3, 5, 7, 9]


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
    codes = decoded[0][0].transpose(1, 2)
    assert codes.shape == (3, 100, 4)
    given = dataclasses.replace(
        written(batch, codec=codec, tokenizer=processor.tokenizer), codes=delayed(codes)
    )
    kept = {}
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **given: kept.setdefault("out", forward(**given)))
    melodies_musicgen.loss_of(model, given)
    likeliest = kept["out"].logits.argmax(-1).view(3, 4, -1).transpose(1, 2)
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


def test_quantising_is_what_the_codec_does_and_lets_gradients_through(codec):
    waveform = sample(2, seed=1).waveform[:, None]
    embedded = codec.encoder(waveform).detach().requires_grad_()
    quantised, commitment = melodies_codec.quantise(codec.quantizer, embedded)
    codes = codec.quantizer.encode(embedded, codec.config.target_bandwidths[0])
    assert codes.shape == (4, 2, 100)
    assert torch.allclose(quantised, codec.quantizer.decode(codes), atol=1e-5)
    (gradient,) = torch.autograd.grad(quantised.sum(), embedded)
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert commitment > 0


def test_codes_follow_what_chooses_them_and_unused_ones_move():
    torch.manual_seed(0)
    codebook = melodies_codec.untrained().quantizer.layers[0].codebook
    codebook.embed.copy_(5 * torch.eye(*codebook.embed.shape))
    codebook.embed_avg.copy_(codebook.embed)
    codebook.cluster_size.fill_(1.0)
    frames = torch.randn(200, 32) + 3 * torch.eye(32)[0]
    for _ in range(300):
        melodies_codec.follow(codebook, frames, torch.zeros(200, dtype=torch.int64))
    assert torch.allclose(codebook.embed[0], frames.mean(0), atol=0.05)
    # every other code has become a frame of the batch
    assert torch.cdist(codebook.embed[1:], frames).min(1).values.max() < 0.05


def test_codebooks_are_laid_out_where_the_frames_are():
    torch.manual_seed(0)
    model = melodies_codec.untrained().eval()
    waveform = sample(4, seed=3).waveform[:, None]
    melodies_codec.lay_out(model, waveform)
    with torch.no_grad():
        embedded = model.encoder(waveform)
        quantised, _ = melodies_codec.quantise(model.quantizer, embedded)
    assert (embedded - quantised).square().mean() < 0.2 * embedded.var()
    assert all(len(one.unique()) > 100 for one in model.encode(waveform).audio_codes[0].unbind(1))


def test_means_are_those_of_the_clusters():
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = middles.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2)
    means, counts = melodies_codec.k_means(points, 3)
    nearest = torch.cdist(means, middles).min(1)
    assert nearest.indices.sort().values.tolist() == [0, 1, 2]
    assert nearest.values.max() < 0.1
    assert counts.tolist() == [50, 50, 50]


def test_sounds_neither_fade_nor_grow_on_their_way_through_an_untrained_codec():
    torch.manual_seed(0)
    waveform = sample(4, seed=3).waveform[:, None]
    with torch.no_grad():
        assert 0.2 < melodies_codec.untrained().encoder(waveform).std() / waveform.std() < 5


def test_every_second_melody_is_moved_to_the_rarest_notes():
    torch.manual_seed(0)
    batch = sample(200, seed=4)
    found = melodies_codec.rarer(batch).melodies
    assert found[::2] == batch.melodies[::2]
    tonics = [melody.tonic for melody in found[1::2]]
    assert set(tonics) == {57, 58, 64}
    assert [dataclasses.replace(one, tonic=57) for one in found] == [
        dataclasses.replace(one, tonic=57) for one in batch.melodies
    ]


def test_a_sound_differs_not_from_itself_and_more_from_silence_than_from_its_like():
    one = sample(1, seed=2).waveform[:, None]
    assert melodies_codec.difference(one, one) == 0
    assert melodies_codec.difference(0.9 * one, one) < melodies_codec.difference(0 * one, one)
