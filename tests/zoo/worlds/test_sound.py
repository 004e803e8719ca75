"""Sounds are written as they are, and a spectrogram shows where their loudness lies."""

import io
import math
import wave

import numpy as np
import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.sound import LABEL, spectrogram, spectrogram_sheet, wav_of


def tone(hertz, rate=8000):
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(rate, dtype=torch.float64) / rate).float()


def test_a_wav_file_holds_the_samples():
    sound = torch.cat([tone(440), torch.tensor([1.5, -1.5])])
    with wave.open(io.BytesIO(wav_of(sound, 8000))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        values = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    assert np.abs(values[:-2] / 32767 - sound[:-2].numpy()).max() < 1e-4
    assert values[-2:].tolist() == [32767, -32767]


@pytest.mark.parametrize("hertz", [500, 2000])
def test_a_tone_is_loudest_at_its_pitch(hertz):
    found = spectrogram(tone(hertz), window=256, hop=64)
    assert (found.argmax(0)[4:-4] == hertz * 256 // 8000).all()
    assert found.max() == pytest.approx(0, abs=1e-4)


def test_low_is_at_the_bottom_and_loud_is_dark():
    sheet = np.asarray(spectrogram_sheet(torch.stack([tone(500), tone(3000)]), ["", ""], rate=8000))
    half = sheet.shape[1] // 2
    darkest = [
        int(panel[LABEL + 4 : -4].mean(1).argmin())
        for panel in (sheet[:, 6 : half - 8], sheet[:, half + 6 : -8])
    ]
    assert darkest[0] == pytest.approx(128 * (1 - 500 / 4000), abs=4)
    assert darkest[1] == pytest.approx(128 * (1 - 3000 / 4000), abs=4)


def test_labels_stand_above_their_sounds():
    plain, labelled = (
        np.asarray(spectrogram_sheet(tone(500)[None], [label], rate=8000, columns=1))
        for label in ("", "a tone")
    )
    differing = np.argwhere(plain != labelled)
    assert len(differing)
    assert differing[:, 0].max() <= LABEL + 2


def test_no_sounds_are_refused():
    with pytest.raises(ZooError, match="no sounds"):
        spectrogram_sheet(torch.zeros(0, 100), [], rate=8000)
