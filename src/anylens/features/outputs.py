"""What a model's output says, so that two outputs can be compared: scores of classes or words, pictures, or texts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from anylens.features.effect import Effect
from anylens.features.kinds.kind import View
from anylens.features.kinds.made import pictures_in
from anylens.features.kinds.picture import FILE, as_media
from anylens.features.kinds.text import tokenizer_of
from anylens.lens import Lens

SHOWN = 4  # outputs that are shown before and after
LISTED = 5  # classes or words that are listed as raised, and as many as lowered


class Reader(ABC):
    """A kind of output. A subclass is a frozen dataclass; `of` says whether an output is of the kind."""

    @classmethod
    @abstractmethod
    def of(cls, lens: Lens, output: Any) -> Self | None:
        """Return the reader of such outputs, or None where they are of another kind."""

    @abstractmethod
    def effect(self, before: Any, after: Any) -> Effect:
        """Compare two outputs."""


@dataclass(frozen=True)
class Scores(Reader):
    """Logits of classes, `[batch, class]`, or of words at positions, `[batch, pos, word]`."""

    names: Sequence[str]

    @classmethod
    def of(cls, lens: Lens, output: Any) -> Self | None:
        """Fit outputs with logits."""
        logits = getattr(output, "logits", None)
        if not isinstance(logits, Tensor) or logits.ndim not in (2, 3):
            return None
        return cls(_names(lens, logits))

    def effect(self, before: Any, after: Any) -> Effect:
        """Compare logits, each row less its mean, as that has no effect."""
        old, new = (one.logits.detach().float() for one in (before, after))
        change = (
            ((new - new.mean(-1, keepdim=True)) - (old - old.mean(-1, keepdim=True))).flatten(0, -2).mean(0)
        )
        turned = (new.argmax(-1) != old.argmax(-1)).float().mean()
        values, places = change.sort(descending=True)
        listed = [
            (self.names[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)
        ]
        return Effect(
            size=float(change.abs().max()),
            told=f"{float(turned):.0%} of the answers became others",
            raised=tuple((name, value) for name, value in listed[:LISTED] if value > 0),
            lowered=tuple((name, value) for name, value in listed[::-1][:LISTED] if value < 0),
        )


def _names(lens: Lens, logits: Tensor) -> Sequence[str]:
    """Return what each logit is of."""
    labels = getattr(getattr(lens.model, "config", None), "id2label", None) or {}
    tokenizer = tokenizer_of(lens.processor)
    count = logits.shape[-1]
    if logits.ndim == 2 and len(labels) == count:
        return [str(labels[number]) for number in range(count)]
    if logits.ndim == 3 and tokenizer is not None:
        found = tokenizer.convert_ids_to_tokens(list(range(min(count, len(tokenizer)))))
        return [*map(str, found), *(f"word {number}" for number in range(len(found), count))]
    return [f"output {number}" for number in range(count)]


@dataclass(frozen=True)
class Pictures(Reader):
    """Pictures that a model makes."""

    @classmethod
    def of(cls, lens: Lens, output: Any) -> Self | None:
        """Fit outputs with pictures."""
        return cls() if pictures_in(output) is not None else None

    def effect(self, before: Any, after: Any) -> Effect:
        """Compare pictures pixel by pixel."""
        old, new = pictures_in(before), pictures_in(after)
        assert old is not None
        assert new is not None
        size = float((new - old).abs().mean())
        pairs = tuple((_picture(a), _picture(b)) for a, b in zip(old[:SHOWN], new[:SHOWN], strict=True))
        return Effect(size=size, told=f"pixels changed by {size:.1%} on average", pairs=pairs)


def _picture(pixels: Tensor) -> View:
    return View({FILE: as_media(pixels)})


@dataclass(frozen=True)
class Texts(Reader):
    """Texts that a model writes, as numbers of tokens `[batch, pos]`."""

    tokenizer: Any

    @classmethod
    def of(cls, lens: Lens, output: Any) -> Self | None:
        """Fit what `generate` gives."""
        tokenizer = tokenizer_of(lens.processor)
        whole = isinstance(output, Tensor) and output.ndim == 2 and not output.is_floating_point()
        return cls(tokenizer) if whole and tokenizer is not None else None

    def effect(self, before: Any, after: Any) -> Effect:
        """Compare texts as wholes."""
        old, new = (self.tokenizer.batch_decode(one, skip_special_tokens=True) for one in (before, after))
        changed = sum(a != b for a, b in zip(old, new, strict=True))
        pairs = tuple(
            (View(words=(a.strip(),)), View(words=(b.strip(),)))
            for a, b in zip(old[:SHOWN], new[:SHOWN], strict=True)
        )
        return Effect(changed / max(len(old), 1), f"{changed} of {len(old)} texts became others", pairs=pairs)


READERS: tuple[type[Reader], ...] = (Scores, Pictures, Texts)


def reader_of(lens: Lens, output: Any) -> Reader | None:
    """Return what reads an output; None where nothing does."""
    found = (reader.of(lens, output) for reader in READERS)
    return next((reader for reader in found if reader is not None), None)
