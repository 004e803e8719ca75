"""The judges of melodies know the true ones, and are not to be had by others."""

import dataclasses

import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.measure import melodies_prompts
from anylens.zoo.measure.ear import InstrumentEar, scale_of
from anylens.zoo.measure.melodies_prompts import captioned, judged, measure
from anylens.zoo.worlds.melodies import MelodiesBatch, sample


@pytest.fixture(scope="module")
def ear():
    state = torch.get_rng_state()
    trained = InstrumentEar.trained()
    assert torch.equal(torch.get_rng_state(), state)
    return trained


@pytest.fixture(scope="module")
def batch():
    return sample(48, seed=3, split="held_out")


def other(melody, factor, values):
    return dataclasses.replace(
        melody, **{factor: next(one for one in values if one != getattr(melody, factor))}
    )


def test_true_melodies_are_known(ear, batch):
    instrument, scale = judged(ear, batch.waveform, batch)
    assert instrument.double().mean() > 0.95
    assert scale.double().mean() > 0.95


def test_another_instrument_or_scale_is_noticed(ear, batch):
    harps = MelodiesBatch.of(other(one, "instrument", ["harp", "flute"]) for one in batch.melodies)
    assert judged(ear, harps.waveform, batch)[0].double().mean() < 0.05
    scales = MelodiesBatch.of(other(one, "scale", ["major", "minor"]) for one in batch.melodies)
    assert judged(ear, scales.waveform, batch)[1].double().mean() < 0.05


def test_noise_is_no_scale(batch):
    torch.manual_seed(0)
    found = [scale_of(0.1 * torch.randn(8000), melody) for melody in batch.melodies[:20]]
    assert found.count(None) >= 18


def test_every_caption_is_measured_once():
    assert len(set(captioned(96, seed=0).captions)) == 96
    with pytest.raises(ZooError, match="melodies have 96"):
        captioned(97, seed=0)


def test_scores_are_shares_of_what_is_played(ear, batch, monkeypatch):
    monkeypatch.setattr(InstrumentEar, "trained", lambda: ear)
    silent = captioned(48, seed=3).waveform.clone()
    silent[:24] = 0
    monkeypatch.setattr(melodies_prompts, "played", lambda model, processor, batch: silent)
    scores = measure(None, processor=None, samples=48, seed=3)
    assert 0.4 < scores["followed"] <= 0.5
    assert scores["judges"]["instrument"] > 0.95
    assert set(scores["followed_by"]) == {"flute", "clarinet", "organ", "harp"}
