"""Sounds for a person to hear and to look at: WAV files, and a sheet of spectrograms."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anylens.core.errors import ZooError

if TYPE_CHECKING:
    from PIL.Image import Image

DYNAMICS = 60.0
"""Decibels from the darkest grey of a spectrogram to white."""

LABEL = 14
"""Height of a label, in pixels."""


def wav_of(waveform: Tensor, rate: int) -> bytes:
    """The content of a WAV file with one channel of 16 bits. waveform: [samples], -1..1."""
    values = (waveform.clamp(-1, 1) * 32767).round().to(torch.int16)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.numpy().tobytes())
    return content.getvalue()


def spectrogram(waveform: Tensor, *, window: int, hop: int) -> Tensor:
    """Loudness: [frequencies, frames], in decibels below the loudest, the lowest frequency first."""
    found = torch.stft(waveform, window, hop, window=torch.hann_window(window), return_complex=True).abs()
    return 20 * torch.log10(found / found.max().clamp_min(1e-9) + 1e-9)


def spectrogram_sheet(
    waveforms: Tensor, labels: Sequence[str], *, rate: int, columns: int = 2, height: int = 128
) -> Image:
    """Spectrograms from 0 Hz to 5 kHz or half the rate, low at the bottom, each under its label, loud being dark.

    waveforms: [n, samples]. Raises ZooError for none.
    """
    from PIL import Image

    if not len(waveforms):
        raise ZooError("the batch holds no sounds; a sheet needs at least one")
    panels = [
        _panel(one, label, rate=rate, height=height) for one, label in zip(waveforms, labels, strict=True)
    ]
    width, tall = panels[0].size
    rows = math.ceil(len(panels) / columns)
    sheet = Image.new("L", (columns * (width + 4), rows * (tall + 4)), 255)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        sheet.paste(panel, (column * (width + 4) + 2, row * (tall + 4) + 2))
    return sheet


def _panel(waveform: Tensor, label: str, *, rate: int, height: int) -> Image:
    from PIL import Image, ImageDraw

    window = rate // 32  # 31 ms
    loudness = spectrogram(waveform, window=window, hop=rate // 200)
    loudness = loudness[: math.ceil(min(5000, rate / 2) * window / rate)].flip(0)
    grey = (-loudness / DYNAMICS).clamp(0, 1) * 255
    picture = Image.fromarray(grey.round().to(torch.uint8).numpy())
    panel = Image.new("L", (picture.width, height + LABEL), 255)
    panel.paste(picture.resize((picture.width, height), Image.Resampling.BILINEAR), (0, LABEL))
    ImageDraw.Draw(panel).text((2, 1), label, fill=0)
    return panel
