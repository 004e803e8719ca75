"""Texts: marked token by token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from anylens.core.markup import Html, tag
from anylens.families.layouts import Tokens
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View, strongest


@dataclass(frozen=True)
class Text(Kind):
    """Tokens in an argument of the model, read with the lens's tokenizer.

    Attributes:
        argument: the name of the argument.
        tokenizer: of transformers; without one the numbers are shown.
    """

    argument: str
    tokenizer: Any = None

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Fit where the layout says that positions are tokens of an argument, and it was given."""
        if not isinstance(scene.layout, Tokens):
            return None
        component = scene.point.partition(".")[0]
        name = scene.layout.argument(component)
        if not isinstance(scene.given.get(name), Tensor):
            return None
        return cls(name, tokenizer_of(scene.lens.processor))

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return the words of a text, without the padding behind it."""
        tokens, mask = given[self.argument][row], given.get("attention_mask")
        if isinstance(mask, Tensor) and mask.shape == given[self.argument].shape:
            tokens = tokens[: int(mask[row].nonzero().max()) + 1 if bool(mask[row].any()) else 0]
        return View(words=words_of(tokens.tolist(), self.tokenizer))

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return the tokens, coloured where they are marked."""
        found = {mark.place.token: mark for mark in marks}
        best = strongest(marks)
        words = [_word(word, found.get(place), best) for place, word in enumerate(view.words)]
        return tag("p", *(part for word in words for part in (word, tag("wbr"))), class_="al-text")


def _word(word: str, mark: Mark | None, best: Mark | None) -> Html:
    if mark is None:
        return tag("span", word, class_="al-token")
    name = "al-token al-best" if mark is best else "al-token"
    return tag("span", word, class_=name, title=mark.tip or None, **mark.shown)


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor, the processor itself if it is one, or None."""
    found = getattr(processor, "tokenizer", processor)
    return found if hasattr(found, "convert_ids_to_tokens") else None


def words_of(tokens: Sequence[int], tokenizer: Any) -> tuple[str, ...]:
    """Return what each token says; its number where there is no tokenizer."""
    if tokenizer is None:
        return tuple(str(token) for token in tokens)
    return tuple(_said(tokenizer, token) for token in tokens)


def _said(tokenizer: Any, token: int) -> str:
    piece = str(tokenizer.convert_ids_to_tokens(token))
    said = str(tokenizer.decode([token]))
    if piece.startswith(("Ġ", "▁")) and not said.startswith(" "):
        said = " " + said
    return said.replace("\n", "↵") or piece
