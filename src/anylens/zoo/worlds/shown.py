"""Samples of each world as files for a person to look at or to listen to."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo import files
from anylens.zoo.worlds import grammar, melodies, shapes, vowels
from anylens.zoo.worlds.contact_sheet import contact_sheet
from anylens.zoo.worlds.sound import spectrogram_sheet, wav_of

if TYPE_CHECKING:
    from PIL.Image import Image

SPLIT = "held_out"
SHEET, SENTENCES = "sheet.png", "sentences.txt"

Files = dict[str, bytes]
"""Contents by name."""


def show(world: str, folder: Path, *, count: int, seed: int) -> list[Path]:
    """Write samples of a world into a folder; returns the files, the one to open first being the first.

    Raises ZooError for an unknown world or no samples, OSError where a file cannot be written.
    """
    if world not in WORLDS:
        raise ZooError(f"the zoo has no world called {world!r}; it has {', '.join(WORLDS)}")
    contents = WORLDS[world](count, seed)
    for name, content in contents.items():
        files.write(folder / name, content)
    return [folder / name for name in contents]


def _shapes(count: int, seed: int) -> Files:
    return {SHEET: _png(contact_sheet(shapes.sample(count, seed=seed, split=SPLIT)))}


def _vowels(count: int, seed: int) -> Files:
    batch = vowels.sample(count, seed=seed, split=SPLIT)
    return _sounds(batch.waveform, batch.transcripts, batch.rate)


def _melodies(count: int, seed: int) -> Files:
    batch = melodies.sample(count, seed=seed, split=SPLIT)
    return _sounds(batch.waveform, batch.captions, batch.rate)


def _grammar(count: int, seed: int) -> Files:
    batch = grammar.sample(count, seed=seed, split=SPLIT)
    if not batch.sentences:
        raise ZooError("the batch holds no sentences; to show them takes at least one")
    return {SENTENCES: "\n\n".join(_told(sentence) for sentence in batch.sentences).encode() + b"\n"}


def _told(sentence: grammar.Sentence) -> str:
    """A sentence, its factors, and what each of its words costs one who knows the grammar."""
    factors = ", ".join(f"{factor} {sentence.value(factor)}" for factor in grammar.FACTORS)
    costs = "  ".join(
        f"{word} {nats:.2f}" for word, nats in zip(sentence.words, sentence.surprises, strict=True)
    )
    return f"{sentence.text}\n  {factors}\n  nats: {costs}"


def _sounds(waveform: Tensor, labels: list[str], rate: int) -> Files:
    sheet = spectrogram_sheet(waveform, labels, rate=rate)
    sounds = {f"{place:03}.wav": wav_of(one, rate) for place, one in enumerate(waveform)}
    listed = "".join(f"{name}\t{label}\n" for name, label in zip(sounds, labels, strict=True))
    return {SHEET: _png(sheet), "labels.txt": listed.encode(), **sounds}


def _png(picture: Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


WORLDS: dict[str, Callable[[int, int], Files]] = {
    "shapes": _shapes,
    "vowels": _vowels,
    "melodies": _melodies,
    "grammar": _grammar,
}
"""What makes each world's files, given how many samples and which seed."""
