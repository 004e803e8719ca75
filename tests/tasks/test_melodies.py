"""The task of melodies: rows are labelled with what their position writes, and judges hear what true melodies are."""

import pytest
import torch

from anylens.loading import load
from anylens.tasks import TASKS
from anylens.zoo.worlds.melodies import POSITION_FACTORS

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def task():
    return TASKS["melodies"]("melodies-musicgen", load("zoo:melodies-musicgen"))


@pytest.fixture(scope="module")
def inputs(task):
    return task.inputs(3, seed=0, split="held_out")


def test_the_loss_is_of_the_codes_that_come_next(task, inputs):
    given = inputs[0]
    labels = given["labels"]
    assert torch.equal(labels[:, :-1].transpose(1, 2).flatten(0, 1), given["decoder_input_ids"][:, 1:])
    with torch.no_grad():
        right, wrong = (
            task.loss(task.net(**{**given, "labels": one}), given) for one in (labels, labels.flip(0))
        )
    assert right < 0.7 * wrong


def test_the_truth_is_of_positions_and_of_whole_melodies(task, inputs):
    truth, melodies = task.truth(inputs, 0), inputs.truth(0).melodies
    frames = inputs[0]["decoder_input_ids"].shape[1]
    assert truth["note"].shape == truth["degree"].shape == (3, frames)
    for row, melody in enumerate(melodies):
        assert task.values["instrument"][truth["instrument"][row]] == melody.instrument
        first = melody.notes[0]
        key = POSITION_FACTORS["degree"][truth["degree"][row, 0]]
        assert int(key) == first.degree


def test_true_melodies_are_heard_as_what_they_are(task, inputs):
    batch = inputs.truth(0)
    heard = task.heard(batch.waveform, {"melodies": batch.melodies})
    assert {name: found.tolist() for name, found in heard.items()} == {
        name: batch.factors[name].tolist() for name in ("instrument", "scale")
    }


def test_the_model_plays_the_instrument_that_is_asked_for(task):
    trials = task.trials(3, seed=1)
    shown = task.shown(trials[0])
    assert shown["instrument"].tolist() == trials.truth(0).factors["instrument"].tolist()
