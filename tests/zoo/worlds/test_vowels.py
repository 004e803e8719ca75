"""The vowels world tells the truth about its sounds, measured from the sound by other means than made it."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.sampling import ABSENT, SPLITS
from anylens.zoo.worlds.voice import LOUDNESSES, RATE, resonances
from anylens.zoo.worlds.vowels import FACTORS, MOST, SAMPLES, Clip, Segment, VowelsBatch, sample, speak


def segment(**changes: object) -> Segment:
    values = {
        "vowel": "a",
        "pitch": "low",
        "loudness": "loud",
        "speaker": "medium",
        "start": 0.5,
        "seconds": 0.2,
        "hertz": 110.0,
    }
    return Segment(**(values | changes))


def heard(batch, row, one):
    """The steady middle of a segment's sound."""
    ends = int((one.start + 0.03) * RATE), int((one.end - 0.03) * RATE)
    return batch.waveform[row, ends[0] : ends[1]].double().numpy()


def pitch_of(sound):
    """By autocorrelation: the lag at which the sound is most like itself, refined by a parabola."""
    sound = sound - sound.mean()
    size = 2 * len(sound)
    likeness = np.fft.irfft(np.abs(np.fft.rfft(sound, size)) ** 2, size)[: len(sound)]
    likeness = likeness / (len(sound) - np.arange(len(sound)))  # fewer products at longer lags
    low, high = RATE // 280, RATE // 90
    near = (
        likeness[low:high] > 0.93 * likeness[low:high].max()
    )  # two periods are as good as one: take the first
    first = int(np.argmax(near))
    lag = low + first + int(np.argmax(likeness[low + first : low + first + 12]))
    before, at, after = likeness[lag - 1 : lag + 2]
    return RATE / (lag + 0.5 * (before - after) / (before - 2 * at + after))


def resonances_of(sound, hertz):
    """By its harmonics: the three strongest of those that stand out among three neighbours on either side."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    harmonics = np.arange(1, int(3800 / hertz)) * hertz
    heights = spectrum[np.round(harmonics * len(sound) / RATE).astype(int)]
    peaks = [i for i in range(1, len(heights) - 1) if heights[i] == heights[max(i - 3, 0) : i + 4].max()]
    return sorted(harmonics[i] for i in sorted(peaks, key=lambda i: heights[i])[-3:])


@pytest.fixture(scope="module")
def many():
    return sample(60, seed=1)


def segments_of(batch):
    return [(row, one) for row, clip in enumerate(batch.clips) for one in clip.segments]


def test_the_same_seed_gives_the_same_sounds():
    first, second = sample(6, seed=3), sample(6, seed=3)
    assert first.clips == second.clips
    assert torch.equal(first.waveform, second.waveform)
    assert sample(2, seed=3).clips == first.clips[:2]


def test_another_seed_or_split_gives_other_sounds():
    seen = [set(sample(20, seed=seed, split=split).clips) for seed in (0, 1, 2**32) for split in SPLITS]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(seen, 2))


def test_the_waveform_has_the_promised_shape_and_range(many):
    assert many.waveform.shape == (60, SAMPLES)
    assert many.waveform.dtype == torch.float32
    assert many.waveform.abs().max() < 1


def test_the_pitch_that_is_heard_is_the_one_that_is_told(many):
    for row, one in segments_of(many):
        assert pitch_of(heard(many, row, one)) == pytest.approx(one.hertz, rel=0.03), one


def test_pitches_lie_in_their_names_bands_which_do_not_meet(many):
    bands = {
        name: [one.hertz for _, one in segments_of(many) if one.pitch == name] for name in FACTORS["pitch"]
    }
    assert max(bands["low"]) < 120
    assert min(bands["middle"]) > 140
    assert max(bands["middle"]) < 175
    assert min(bands["high"]) > 210


def test_the_loudness_that_is_heard_is_the_one_that_is_told(many):
    for row, one in segments_of(many):
        loudness = np.sqrt((heard(many, row, one) ** 2).mean())
        assert loudness == pytest.approx(LOUDNESSES[one.loudness], rel=0.25)


@pytest.mark.parametrize("speaker", FACTORS["speaker"])
@pytest.mark.parametrize("vowel", FACTORS["vowel"])
def test_resonances_that_are_heard_are_the_speakers(vowel, speaker):
    one = segment(vowel=vowel, speaker=speaker, hertz=50.0, seconds=0.5)  # harmonics close together
    found = resonances_of(heard(VowelsBatch.of([Clip(segments=(one,))]), 0, one), one.hertz)
    assert found == pytest.approx(list(resonances(vowel, speaker)[:3]), abs=50)


def test_between_vowels_there_is_silence(many):
    frames = many.positions(hop=80)["vowel"]
    quiet = many.waveform.reshape(60, -1, 80).square().mean(2).sqrt()
    # a frame that a vowel's end cuts may hold some of it
    inside = frames != ABSENT
    near = inside.clone()
    near[:, 1:] |= inside[:, :-1]
    near[:, :-1] |= inside[:, 1:]
    assert quiet[~near].max() < 0.002
    assert quiet[inside].median() > 0.02


def test_positions_hold_what_sounds_there(many):
    frames = many.positions(hop=320)
    for row, clip in enumerate(many.clips):
        for frame in range(100):
            now = (frame + 0.5) * 0.02
            sounding = [one for one in clip.segments if one.start <= now < one.end]
            for factor, values in frames.items():
                told = values[row, frame].item()
                assert (told == ABSENT) == (not sounding)
                if sounding:
                    assert FACTORS[factor][told] == getattr(sounding[0], factor)


def test_transcripts_hold_vowels_and_long_pauses():
    first, second = segment(start=0.1), segment(vowel="u", start=0.37)
    third = dataclasses.replace(second, vowel="i", start=0.8)
    assert Clip(segments=(first, second, third)).transcript == "a u , i"
    assert Clip(segments=()).transcript == ""
    clip = next(clip for clip in sample(20, seed=4).clips if len(clip.segments) > 2)
    assert [mark for mark in clip.transcript.split() if mark != ","] == [one.vowel for one in clip.segments]
    assert clip.transcript.count(",") == sum(pause > 0.15 for pause in clip.pauses)


def test_factors_name_the_segments_values(many):
    for factor, numbers in many.factors.items():
        assert numbers.shape == (60, MOST)
        for row, clip in zip(numbers.tolist(), many.clips, strict=True):
            named = [FACTORS[factor][number] for number in row if number != ABSENT]
            assert named == [getattr(one, factor) for one in clip.segments]
        assert torch.bincount(numbers[numbers != ABSENT]).min() > 0.6 * 150 / len(FACTORS[factor])


def test_another_vowel_changes_nothing_outside_its_time():
    before = Clip(segments=(segment(start=0.2), segment(start=1.0)), noise_seed=5)
    other = dataclasses.replace(before, segments=(before.segments[0], segment(start=1.0, vowel="i")))
    changed = (speak([before])[0] != speak([other])[0]).nonzero()[:, 0]
    assert changed.min() >= RATE
    assert changed.max() < 1.2 * RATE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vowel": "y"}, "no vowel is called 'y'; choose from i, e"),
        ({"speaker": "giant"}, "no speaker is called 'giant'"),
        ({"start": 1.9}, r"does not fit into 2\.0 s"),
        ({"seconds": 0.0}, "does not fit"),
    ],
)
def test_a_vowel_that_cannot_be_spoken_is_refused(changes, message):
    with pytest.raises(ZooError, match=message):
        segment(**changes)


def test_overlaps_and_odd_hops_are_refused():
    with pytest.raises(ZooError, match="overlap"):
        Clip(segments=(segment(start=0.2), segment(start=0.3)))
    with pytest.raises(ZooError, match="hop is 7"):
        sample(1, seed=0).positions(hop=7)
