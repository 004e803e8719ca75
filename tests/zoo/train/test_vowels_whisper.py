"""The script that trains vowels-whisper runs from end to end, and its processor takes the world's sounds and words."""

import json

import pytest
import torch

from anylens.zoo import check, load_model, load_processor
from anylens.zoo.train import vowels_whisper
from anylens.zoo.worlds.vowels import sample


@pytest.fixture(scope="module")
def processor():
    return vowels_whisper.processor()


def test_two_steps_write_a_model_that_loads(tmp_path, monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"error_rate": 0.5})
    vowels_whisper.SCRIPT.main(["--steps", "2", "--folder", str(tmp_path), "--threads", str(threads)])
    model = load_model("vowels-whisper", folder=tmp_path)
    processor = load_processor("vowels-whisper", folder=tmp_path)
    heard = processor(sample(2, seed=0).waveform.numpy()[0], sampling_rate=16000, return_tensors="pt")
    assert model.generate(heard.input_features).shape[0] == 1
    assert json.loads((tmp_path / "card.json").read_text())["steps"] == 2
    assert '"error_rate": 0.5' in capsys.readouterr().out


def test_every_mark_of_a_transcript_is_one_token(processor):
    tokens = processor.tokenizer("a i , u").input_ids
    assert processor.tokenizer.convert_ids_to_tokens(tokens) == [
        *(vowels_whisper.START, vowels_whisper.PLAIN),
        *("Ġa", "Ġi", "Ġ,", "Ġu"),
        vowels_whisper.END,
    ]
    for text in sample(20, seed=1).transcripts:
        back = processor.tokenizer(text).input_ids
        assert len(back) == len(text.split()) + 3 <= vowels_whisper.LONGEST
        assert processor.decode(back, skip_special_tokens=True).split() == text.split()


def test_two_seconds_are_two_hundred_frames(processor):
    sounds = list(sample(3, seed=2).waveform.numpy())
    heard = processor.feature_extractor(sounds, sampling_rate=16000, return_tensors="pt").input_features
    assert heard.shape == (3, vowels_whisper.MELS, 200)


def test_the_loss_is_of_the_true_transcript(processor):
    torch.manual_seed(0)
    model = vowels_whisper.untrained(processor.tokenizer).eval()
    batch = sample(3, seed=3)
    with torch.no_grad():
        loss = vowels_whisper.loss_of(model, processor, batch).item()
        heard = processor.feature_extractor(
            list(batch.waveform.numpy()), sampling_rate=16000, return_tensors="pt"
        ).input_features
        costs = []
        for row, text in enumerate(batch.transcripts):
            tokens = torch.tensor([processor.tokenizer(text).input_ids])
            logits = model(input_features=heard[row : row + 1], decoder_input_ids=tokens[:, :-1]).logits[0]
            costs += (-logits.log_softmax(-1)[torch.arange(len(logits)), tokens[0, 1:]]).tolist()
    assert loss == pytest.approx(sum(costs) / len(costs), rel=1e-4)
