"""The measure of recognisers counts what is wrong, and nothing else."""

import pytest

from anylens.zoo.measure import vowels_transcripts
from anylens.zoo.measure.vowels_transcripts import distance, measure
from anylens.zoo.worlds.vowels import sample


@pytest.mark.parametrize(
    ("text", "truth", "edits"),
    [
        ("a i u", "a i u", 0),
        ("a u", "a i u", 1),
        ("a i i u", "a i u", 1),
        ("o i u", "a i u", 1),
        ("", "a i u", 3),
        ("a i u", "", 3),
        ("i u a", "a i u", 2),
    ],
)
def test_distance_is_the_fewest_edits(text, truth, edits):
    assert distance(text.split(), truth.split()) == edits


def test_the_truth_has_no_errors_and_silence_has_all(monkeypatch):
    monkeypatch.setattr(vowels_transcripts, "transcribed", lambda model, processor, batch: batch.transcripts)
    assert measure(None, processor=None, samples=20, seed=0)["error_rate"] == 0
    assert measure(None, processor=None, samples=20, seed=0)["whole"] == 1
    monkeypatch.setattr(
        vowels_transcripts, "transcribed", lambda model, processor, batch: [""] * len(batch.clips)
    )
    scores = measure(None, processor=None, samples=20, seed=0)
    assert scores["error_rate"] == 1
    assert scores["whole"] == 0


def test_shares_by_speaker_are_of_the_sounds_with_that_speaker(monkeypatch):
    batch = sample(20, seed=0, split="held_out")
    has_small = [any(one.speaker == "small" for one in clip.segments) for clip in batch.clips]
    written = [text if small else "" for text, small in zip(batch.transcripts, has_small, strict=True)]
    monkeypatch.setattr(vowels_transcripts, "transcribed", lambda model, processor, batch: written)
    scores = measure(None, processor=None, samples=20, seed=0)
    assert scores["whole"] == sum(has_small) / 20
    assert scores["whole_by"]["speaker"]["small"] == 1
    assert scores["whole_by"]["speaker"]["large"] < 1
