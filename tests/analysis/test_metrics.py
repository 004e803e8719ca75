"""Metrics against the formulas they are named for, on the outputs that models and pipelines give."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers.modeling_outputs import CausalLMOutput

from anylens.analysis import metrics
from anylens.core.errors import AxisError, ShapeError

LOGITS = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 5.0, 1.0]], [[4.0, 0.0, 0.0], [1.0, 1.0, 2.0]]])
OUTPUT = CausalLMOutput(loss=torch.tensor(1.0), logits=LOGITS)


def test_logits_at_a_position_of_a_named_field():
    assert metrics.logit(1)(OUTPUT).tolist() == [5.0, 1.0]
    assert metrics.logit(1, at=0)(OUTPUT).tolist() == [2.0, 0.0]
    assert metrics.logit([1, 2])(OUTPUT).tolist() == [5.0, 2.0]
    assert metrics.logit(0, field="logits")({"other": 1, "logits": LOGITS[:, 0]}).tolist() == [1.0, 4.0]
    assert metrics.logit_difference(1, 0)(OUTPUT).tolist() == [5.0, 0.0]
    assert (metrics.logit(1) - metrics.logit(0))(OUTPUT).tolist() == [5.0, 0.0]
    assert metrics.answers([1, 1])(OUTPUT).tolist() == [1.0, 0.0]


def test_targets_are_repeated_with_the_rows():
    twice = CausalLMOutput(logits=LOGITS.repeat(3, 1, 1))
    assert metrics.logit([1, 2])(twice).tolist() == [5.0, 2.0] * 3
    with pytest.raises(ShapeError, match="targets for 4 rows"):
        metrics.logit([1, 2, 0, 1])(CausalLMOutput(logits=LOGITS.repeat(3, 1, 1)))


def test_probabilities_divergence_and_loss():
    last = LOGITS[:, -1]
    expected = last.softmax(-1)[:, 1].log()
    torch.testing.assert_close(metrics.log_probability(1)(OUTPUT), expected)
    other = CausalLMOutput(logits=LOGITS.flip(-1))
    p, q = LOGITS[:, -1].softmax(-1), LOGITS.flip(-1)[:, -1].softmax(-1)
    torch.testing.assert_close(metrics.kl_divergence(OUTPUT)(other), (p * (p / q).log()).sum(-1))
    assert metrics.kl_divergence(OUTPUT, at=None)(OUTPUT).abs().max() < 1e-6
    labels = torch.tensor([[0, -100], [2, 1]])
    expected = [
        functional.cross_entropy(LOGITS[0, :1], labels[0, :1]),
        functional.cross_entropy(LOGITS[1], labels[1]),
    ]
    torch.testing.assert_close(metrics.loss(labels)(OUTPUT), torch.stack(expected))
    ids = torch.tensor([[0, 2], [1, 0]])
    expected = functional.cross_entropy(LOGITS[:, 0], ids[:, 1], reduction="none")
    torch.testing.assert_close(metrics.loss(ids, shift=True)(OUTPUT), expected)


def test_regions_of_pictures_and_spectrograms():
    from PIL import Image

    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, 2:, 0] = 255
    red = metrics.region(0, slice(0, 2), slice(2, 4))
    assert red(SimpleOutput(images=[Image.fromarray(pixels)] * 2)).tolist() == [1.0, 1.0]
    assert metrics.region(0)(SimpleOutput(images=[pixels])).tolist() == [0.25]
    mel = torch.arange(24.0).reshape(1, 4, 6)  # frame, band
    assert metrics.region(slice(1, 3), [0, 5])(mel).tolist() == [mel[0, 1:3][:, [0, 5]].mean()]
    with pytest.raises(AxisError, match="3 indices"):
        metrics.region(0, 0, 0)(mel)


class SimpleOutput(dict):
    """An output as diffusers has it."""


def test_distance_and_a_judge():
    latent = torch.tensor([[[3.0], [4.0]], [[0.0], [0.0]]])
    assert metrics.distance(torch.zeros(1, 2, 1))(latent).tolist() == [5.0, 0.0]
    judge = torch.nn.Linear(4, 2)
    pictures = torch.randn(3, 1, 2, 2)
    found = metrics.judged(lambda picture: judge(picture.flatten(1)), metrics.logit(1))(pictures)
    torch.testing.assert_close(found, judge(pictures.flatten(1))[:, 1])


def test_errors_say_what_there_is():
    with pytest.raises(AxisError, match="Its fields are strange"):
        metrics.logit(0)({"strange": LOGITS})
    with pytest.raises(AxisError, match="no position 7"):
        metrics.logit(0, at=7)(OUTPUT)
    with pytest.raises(AxisError, match="no token or class 3"):
        metrics.logit(3)(OUTPUT)
    with pytest.raises(ShapeError, match=r"\[batch, class\]"):
        metrics.logit(0)(torch.zeros(1, 2, 3, 4))
    with pytest.raises(AxisError, match="SimpleNamespace"):
        metrics.logit(0)(SimpleNamespace())
    assert math.isclose(float(metrics.logit(2)((LOGITS[:, -1], None))[0]), 1.0)
    assert repr(metrics.logit(2)) == "logit(2)"
