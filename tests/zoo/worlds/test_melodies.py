"""The melodies world tells the truth about its sounds, measured from the sound by other means than made it."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.instruments import INSTRUMENTS, RATE
from anylens.zoo.worlds.melodies import (
    FACTORS,
    POSITION_FACTORS,
    SAMPLES,
    WORDINGS,
    MelodiesBatch,
    Melody,
    sample,
)
from anylens.zoo.worlds.sampling import SPLITS


def melody(**changes: object) -> Melody:
    values = {"instrument": "flute", "scale": "major", "tempo": "slow", "direction": "up"}
    return Melody(**(values | changes))


def pitch_of(sound):
    """By products of the spectrum with its own stretches: the pitch whose multiples are all loud."""
    size = 1 << 16
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size)) + 1e-3
    places = np.arange(int(180 * size / RATE), int(700 * size / RATE))
    sums = sum(np.log(spectrum[np.minimum(k * places, size // 2)]) / k for k in (1, 2, 3, 4))
    return places[np.argmax(sums)] * RATE / size


def strengths_of(sound, hertz):
    """The strength of each of the first four partials, as a part of the strongest."""
    window = np.hanning(len(sound))
    times = np.arange(len(sound)) / RATE
    found = np.array(
        [abs((sound * window * np.exp(-2j * np.pi * k * hertz * times)).sum()) for k in (1, 2, 3, 4)]
    )
    return found / found.max()


def heard(batch, row, note):
    first, count = round(note.start * RATE), round(note.seconds * RATE)
    return batch.waveform[row, first : first + count].double().numpy()


@pytest.fixture(scope="module")
def many():
    return sample(80, seed=1)


def test_the_same_seed_gives_the_same_sounds():
    first, second = sample(6, seed=3), sample(6, seed=3)
    assert first.melodies == second.melodies
    assert torch.equal(first.waveform, second.waveform)
    assert sample(2, seed=3).melodies == first.melodies[:2]


def test_another_seed_or_split_gives_other_sounds():
    seen = [set(sample(20, seed=seed, split=split).melodies) for seed in (0, 1, 2**32) for split in SPLITS]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(seen, 2))


def test_the_waveform_has_the_promised_shape_and_range(many):
    assert many.waveform.shape == (80, SAMPLES)
    assert many.waveform.dtype == torch.float32
    assert many.waveform.abs().max() < 1


def test_the_notes_that_are_heard_are_the_ones_that_are_told(many):
    for row, one in enumerate(many.melodies):
        for note in one.notes:
            semitones = 12 * np.log2(pitch_of(heard(many, row, note)) / note.hertz)
            assert abs(semitones) < 0.25, (one, note)


def test_partials_that_are_heard_are_the_instruments(many):
    for row, one in enumerate(many.melodies):
        told = np.array([*INSTRUMENTS[one.instrument].partials, 0.0, 0.0, 0.0])[:4]
        for note in one.notes:
            if 4 * note.hertz < 0.48 * RATE:
                found = strengths_of(heard(many, row, note), note.hertz)
                assert found == pytest.approx(told, abs=0.08)


def test_only_the_harp_fades(many):
    for row, one in enumerate(many.melodies):
        sound = heard(many, row, one.notes[0])
        third = len(sound) // 4
        fall = np.sqrt((sound[third : 2 * third] ** 2).mean() / (sound[2 * third : 3 * third] ** 2).mean())
        assert (fall > 1.3) == (one.instrument == "harp")


def test_scale_tempo_and_direction_follow_from_the_notes(many):
    for one in many.melodies:
        keys = [note.key for note in one.notes]
        steps = np.diff(keys)
        assert (steps > 0).all() if one.direction == "up" else (steps < 0).all()
        assert len(keys) == {"slow": 4, "fast": 8}[one.tempo]
        assert sum(note.seconds for note in one.notes) == pytest.approx(2)
        above = {note.degree: note.key - one.tonic for note in one.notes}
        third, sixth = {"major": (4, 9), "minor": (3, 8)}[one.scale]
        assert above.get(3, third) == third
        assert above.get(6, sixth) == sixth
        assert {3, 6} & set(above)


def test_positions_hold_what_sounds_there(many):
    places = many.positions(hop=80)
    assert all(values.shape == (80, 100) for values in places.values())
    for row, one in enumerate(many.melodies[:20]):
        for note in one.notes:
            frame = round((note.start + note.seconds / 2) * RATE) // 80
            assert POSITION_FACTORS["degree"][places["degree"][row, frame]] == str(note.degree)
            name = POSITION_FACTORS["note"][places["note"][row, frame]]
            assert note.key % 12 == "C C# D D# E F F# G G# A A# B".split().index(name[:-1])
            assert POSITION_FACTORS["instrument"][places["instrument"][row, frame]] == one.instrument
    assert min(values.min() for values in places.values()) >= 0


def test_the_a_below_the_middle_is_called_so():
    batch = MelodiesBatch.of([melody(tonic=57)])
    assert POSITION_FACTORS["note"][batch.positions()["note"][0, 0]] == "A3"
    assert batch.melodies[0].notes[0].hertz == pytest.approx(220)


def test_factors_name_the_melodies_values(many):
    for factor, numbers in many.factors.items():
        assert [FACTORS[factor][number] for number in numbers.tolist()] == [
            getattr(one, factor) for one in many.melodies
        ]
        assert torch.bincount(numbers).min() > 0.5 * 80 / len(FACTORS[factor])


def test_a_caption_says_what_is_played():
    assert melody().caption == "a slow major scale going up on the flute"
    for wording in range(len(WORDINGS)):
        words = melody(wording=wording).caption.replace(",", "").split()
        assert {"slow", "major", "up", "flute"} <= set(words)


def test_another_scale_changes_the_notes_that_differ_only():
    one = melody(noise_seed=3)
    before, after = MelodiesBatch.of([one, dataclasses.replace(one, scale="minor")]).waveform.reshape(
        2, 4, -1
    )
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [True, True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instrument": "drum"}, "no instrument is called 'drum'; choose from flute"),
        ({"scale": "blues"}, "no scale is called 'blues'"),
        ({"tonic": 12}, "tonic is 12; it must be from 57 to 64"),
        ({"wording": 9}, "wording is 9"),
    ],
)
def test_a_melody_that_cannot_be_played_is_refused(changes, message):
    with pytest.raises(ZooError, match=message):
        melody(**changes)


def test_odd_hops_are_refused():
    with pytest.raises(ZooError, match="hop is 7"):
        sample(1, seed=0).positions(hop=7)
