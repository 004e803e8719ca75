"""Which seconds, and which band, a position stands for."""

import pytest

from anylens.core.errors import AxisError
from anylens.families.frames import Convolution, Frames, Spectrogram, convolved


def test_frames_follow_each_other():
    frames = Frames(0.02)
    assert frames.where((0,), (1500,)).seconds == (0, 0.02)
    assert frames.where((1499,), (1500,)).seconds == pytest.approx((29.98, 30))
    assert frames.where((3,), (1500,)).label == "frame 3"
    assert frames.heard(3) == pytest.approx((0.06, 0.08))


def test_tokens_before_the_sound_stand_for_none():
    frames = Frames(0.02, prefix=("class",))
    assert frames.where((0,), (5,)).seconds is None
    assert frames.where((1,), (5,)).seconds == (0, 0.02)
    with pytest.raises(AxisError, match="no frame"):
        frames.heard(0)
    with pytest.raises(AxisError, match="does not lie within"):
        frames.where((5,), (5,))


def test_convolutions_widen_what_is_heard_and_lengthen_the_hop():
    samples = Frames(1.0)
    made = convolved(samples, [Convolution(5, 4), Convolution(3, 2, 1)])
    assert made.hop == 8
    assert made.field == 5 + 2 * 4  # the second takes three positions of the first
    assert made.start == -4
    assert made.heard(2) == (12, 25)


def test_patches_of_a_spectrogram_go_along_time_first():
    layout = Spectrogram((16, 16), (10, 10), (12, 101), 0.01, ("class", "distillation"))
    assert layout.where((1,), (1214,)).label == "distillation token"
    first, last = layout.where((2,), (1214,)), layout.where((1213,), (1214,))
    assert (first.band, first.seconds) == ((0, 16), (0, 0.16))
    assert layout.where((3,), (1214,)).seconds == pytest.approx((0.1, 0.26))
    assert layout.where((103,), (1214,)).band == (10, 26)
    assert last.band == (110, 126)
    assert last.seconds == pytest.approx((10, 10.16))
    with pytest.raises(AxisError, match="12 bands of 101"):
        layout.where((0,), (1213,))
