"""One's own few pictures, sounds or texts in a folder, as inputs of a lens with a processor."""

import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import StoreError
from anylens.core.optional import require
from anylens.features.kinds.text import tokenizer_of
from anylens.lens import Lens

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SOUNDS = (".wav",)
TEXTS = (".txt",)


@dataclass(frozen=True)
class Files:
    """What is behind an input: the names of its files, and the sounds in them where they are sounds."""

    names: tuple[str, ...]
    waveform: Tensor | None = None  # [file, time], silence behind the shorter ones
    rate: int = 16_000


class Folder:
    """The pictures (PNG, JPEG), sounds (WAV) or texts (TXT, a text in each line) of a folder, in batches.

    Files of other kinds are left out; where there are several kinds, the first of these that the model takes counts.
    """

    def __init__(self, lens: Lens, folder: Path | str, *, batch: int = 8) -> None:
        """Read the names of the files, or raise StoreError if there are none that the lens's processor takes."""
        self.lens, self.folder, self.batch = lens, Path(folder), batch
        if not self.folder.is_dir():
            raise StoreError(f"{self.folder} is no folder.")
        if lens.processor is None:
            raise StoreError(
                f"The lens on {type(lens.model).__name__} has no processor that makes inputs of files. Give inputs of "
                "your own with --data MODULE:FUNCTION."
            )
        self.items, self._read = self._chosen()

    def __len__(self) -> int:
        return (len(self.items) + self.batch - 1) // self.batch

    def __iter__(self) -> Iterator[Any]:
        return (self._read(self._part(number))[0] for number in range(len(self)))

    def truth(self, number: int) -> Files:
        """Return what is behind input `number`."""
        return self._read(self._part(number))[1]

    def _part(self, number: int) -> Sequence[Any]:
        return self.items[number * self.batch : (number + 1) * self.batch]

    def _chosen(self) -> tuple[list[Any], Callable[[Sequence[Any]], tuple[Any, Files]]]:
        processor = self.lens.processor
        kinds = (
            (PICTURES, _takes(processor, "image_processor", "image_mean"), self._pictures),
            (SOUNDS, _takes(processor, "feature_extractor", "sampling_rate"), self._sounds),
            (TEXTS, tokenizer_of(processor) is not None, self._texts),
        )
        for endings, taken, read in kinds:
            found = sorted(file for file in self.folder.iterdir() if file.suffix.lower() in endings)
            if taken and found:
                return (_lines(found) if endings is TEXTS else found), read
        wanted = [" ".join(endings) for endings, taken, _ in kinds if taken]
        raise StoreError(
            f"{self.folder} holds no files that {type(processor).__name__} makes inputs of. It takes "
            f"{', '.join(wanted) or 'none that anylens reads'}."
        )

    def _pictures(self, files: Sequence[Path]) -> tuple[Any, Files]:
        image = require("PIL.Image", extra="transformers")
        pictures = [image.open(file).convert("RGB") for file in files]
        processor = getattr(self.lens.processor, "image_processor", self.lens.processor)
        return dict(processor(images=pictures, return_tensors="pt")), _named(files)

    def _sounds(self, files: Sequence[Path]) -> tuple[Any, Files]:
        extractor = getattr(self.lens.processor, "feature_extractor", self.lens.processor)
        rate = int(extractor.sampling_rate)
        sounds = [read_wav(file, rate) for file in files]
        given = extractor(
            [sound.numpy() for sound in sounds], sampling_rate=rate, return_tensors="pt", padding=True
        )
        if "input_features" in given:  # padded to what the model takes, whatever the sounds' length
            given = extractor([sound.numpy() for sound in sounds], sampling_rate=rate, return_tensors="pt")
        waves = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)
        return dict(given), Files(_named(files).names, waves, rate)

    def _texts(self, texts: Sequence[str]) -> tuple[Any, Files]:
        tokenizer = tokenizer_of(self.lens.processor)
        return dict(tokenizer(list(texts), padding=True, return_tensors="pt")), Files(tuple(texts))


def _takes(processor: Any, part: str, attribute: str) -> bool:
    return hasattr(processor, part) or hasattr(processor, attribute)


def _named(files: Sequence[Path]) -> Files:
    return Files(tuple(file.name for file in files))


def _lines(files: Sequence[Path]) -> list[str]:
    texts = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return [text for text in texts if text]


def read_wav(file: Path, rate: int) -> Tensor:
    """Return the sound of a WAV file, `[time]`, -1..1, its channels averaged, at a rate in samples a second.

    Raises StoreError for a file that is no WAV of whole numbers.
    """
    try:
        with wave.open(str(file)) as opened:
            width, channels, own = opened.getsampwidth(), opened.getnchannels(), opened.getframerate()
            content = bytearray(opened.readframes(opened.getnframes()))
    except (wave.Error, EOFError, OSError) as error:
        raise StoreError(f"{file} cannot be read as WAV: {error}.") from error
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
    if width not in kinds or not content:
        raise StoreError(f"{file} has {8 * width} bits a sample, or no samples. Write it as WAV of 16 bits.")
    values = torch.frombuffer(content, dtype=kinds[width]).double()
    values = (values - 128) / 128 if width == 1 else values / 2 ** (8 * width - 1)
    sound = values.reshape(-1, channels).mean(1)
    if own != rate:
        size = max(1, round(len(sound) * rate / own))
        sound = torch.nn.functional.interpolate(sound[None, None], size=size, mode="linear")[0, 0]
    return sound.float()
