"""Sounds: marked in spans over the waveform and the spectrogram."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor

from anylens.core.markup import Html, tag
from anylens.families.frames import Frames
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View, strongest, told
from anylens.features.kinds.picture import chips
from anylens.features.media import Media, png, wav

WAVES, SPECTRA = ("input_values",), ("input_features",)
PLAYED = "sound"  # stands for the argument where a model is given codes
SOUND, SPECTROGRAM = "sound", "spectrogram"
PARTS = 240  # of the waveform's outline
BINS, RANGE = 80, 60.0  # heights of the spectrogram, and decibels from its darkest to its lightest


@dataclass(frozen=True)
class Sound(Kind):
    """Sounds that a model takes as a waveform or as a spectrogram of frames.

    Attributes:
        argument: the name of the argument, or `PLAYED`.
        rate: samples in a second of a waveform that the model takes.
        frame: seconds from one frame to the next of a spectrogram that it takes.
    """

    argument: str
    rate: int
    frame: float

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Fit where an argument holds sound, or positions are moments of a sound that is known to be behind them."""
        name = next((n for n in (*WAVES, *SPECTRA) if isinstance(scene.given.get(n), Tensor)), None)
        played = isinstance(scene.layout, Frames) and scene.behind.sound is not None
        if name is None and not played:
            return None
        extractor = getattr(scene.lens.processor, "feature_extractor", scene.lens.processor)
        rate = int(getattr(extractor, "sampling_rate", None) or 16_000)
        return cls(name or PLAYED, rate, float(getattr(extractor, "hop_length", None) or rate / 100) / rate)

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return a sound with its outline and its spectrogram; where only a spectrogram is known, that alone."""
        sound, rate = (None if behind.sound is None else behind.sound[row]), behind.rate
        if sound is None and self.argument in WAVES:
            sound, rate = given[self.argument][row].reshape(-1), self.rate
        if sound is not None:
            return heard(sound.detach().float().cpu(), rate)
        mel_FT = given[self.argument][row].detach().float().cpu()
        seconds = mel_FT.shape[-1] * self.frame
        return View({SPECTROGRAM: _shaded(mel_FT)}, seconds=seconds)

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return waveform and spectrogram with spans marked, and what plays it."""
        return marked_sound(view, marks, address)


def heard(sound: Tensor, rate: int) -> View:
    """Return a sound, `[time]`, as it is shown."""
    loudest = float(sound.abs().max()) or 1.0
    parts = torch.nn.functional.adaptive_max_pool1d(sound.abs()[None, None], PARTS)[0, 0] / loudest
    media = {SOUND: wav(sound / max(loudest, 1.0), rate), SPECTROGRAM: _shaded(_spectrum(sound, rate))}
    return View(media, seconds=len(sound) / rate, outline=tuple(round(p, 3) for p in parts.tolist()))


def _spectrum(sound: Tensor, rate: int) -> Tensor:
    """Return the logarithm of the power in bands of equal width on the mel scale, `[band, time]`."""
    size = max(64, 2 ** round(rate * 0.032).bit_length() // 2)
    found = torch.stft(
        sound, size, size // 4, window=torch.hann_window(size), return_complex=True, pad_mode="constant"
    )
    power_FT = found.abs().square()
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
    hertz = 700 * (10 ** (torch.linspace(0, float(top), BINS + 1) / 2595) - 1)
    bins = (hertz / (rate / 2) * (len(power_FT) - 1)).round().long()
    bands = [power_FT[a : max(a + 1, b)].mean(0) for a, b in pairwise(bins.tolist())]
    return 10 * torch.stack(bands).clamp_min(1e-10).log10()


def _shaded(levels_FT: Tensor) -> Media:
    """Return a spectrogram as PNG, the lowest band at the bottom, loud parts dark."""
    scale = (
        RANGE if float(levels_FT.max() - levels_FT.min()) > 10 else float(levels_FT.max() - levels_FT.min())
    )
    level = ((levels_FT - levels_FT.max()) / max(scale, 1e-6) + 1).clamp(0, 1)
    return png(1 - level.flip(0))


def marked_sound(view: View, marks: Sequence[Mark], address: Address) -> Html:
    """Return waveform and spectrogram with marked spans, the strongest of which can be played by itself."""
    timed = [mark for mark in marks if mark.place.seconds is not None]
    layers = [_layer("al-wave", [_outline(view), *_spans(timed, view)], view)] if view.outline else []
    image = tag("img", src=address(SPECTROGRAM), alt="", class_="al-image")
    layers.append(_layer("al-spectrum", _spans(timed, view), view, under=image))
    return tag(
        "div",
        _player(view, strongest(timed), address),
        tag("div", *layers, class_="al-tracks", role="img", aria_label=f"sound {told(timed)}".strip()),
        tag("p", told(timed), class_="al-note", data_told=True),
        chips(mark for mark in marks if mark.place.seconds is None),
        class_="al-sound",
        data_seconds=view.seconds,
    )


def _player(view: View, best: Mark | None, address: Address) -> Html:
    """Return the sound with the span to play; none where there is only a spectrogram."""
    if SOUND not in view.media:
        return Html()
    span = best.place.seconds if best and best.place.seconds else (0.0, view.seconds)
    audio = tag(
        "audio", src=address(SOUND), preload="none", controls=True, data_from=span[0], data_to=span[1]
    )
    return tag("div", audio, class_="al-player")


def _layer(name: str, drawn: Sequence[Html], view: View, *, under: Html | None = None) -> Html:
    box = f"0 0 {view.seconds:.4f} 1"
    plot = tag("svg", *drawn, viewBox=box, preserveAspectRatio="none", aria_hidden="true")
    return tag("div", *([under] if under else []), plot, class_=f"al-track {name}")


def _spans(marks: Sequence[Mark], view: View) -> list[Html]:
    return [_span(mark, *mark.place.seconds, view.seconds) for mark in marks if mark.place.seconds]


def _span(mark: Mark, start: float, end: float, seconds: float) -> Html:
    start, end = max(start, 0.0), max(min(end, seconds), start)
    return tag("rect", class_="al-span", x=start, y=0, width=end - start, height=1, **mark.shown)


def _outline(view: View) -> Html:
    """Return the waveform's outline, mirrored."""
    step = view.seconds / len(view.outline)
    above = [f"{(n + 0.5) * step:.4f} {0.5 - part * 0.48:.3f}" for n, part in enumerate(view.outline)]
    below = [f"{(n + 0.5) * step:.4f} {0.5 + part * 0.48:.3f}" for n, part in enumerate(view.outline)]
    return tag("path", class_="al-outline", d=f"M{'L'.join([*above, *reversed(below)])}Z")
