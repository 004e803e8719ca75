"""Layout of a language model's positions where pictures stand among the text: which are text, and which are patches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from anylens.core.errors import AxisError
from anylens.families.layouts import Layout, Patches, Place, expect_within


@dataclass(frozen=True)
class Interleaved(Layout):
    """Tokens, in which each patch of a picture has an image token of its own.

    Which positions those are is in the input: `given(inputs, row)` reads them. Pictures are counted through all rows of
    the batch, as the model takes them. Positions behind the input's are tokens that were generated.

    Attributes:
        image_token: the number that stands for a patch among the tokens.
        patches: where the patches of one picture lie.
        each: how many image tokens a picture has.
        argument: which argument holds the tokens.
    """

    image_token: int
    patches: Patches
    each: int
    argument: str = "input_ids"

    def given(self, inputs: Any, row: int = 0) -> "Read":
        held = inputs[self.argument] if isinstance(inputs, Mapping) or hasattr(inputs, "keys") else inputs
        tokens = torch.as_tensor(held)
        tokens = tokens if tokens.dim() == 2 else tokens[None]
        if not -len(tokens) <= row < len(tokens):
            raise AxisError(f"There is no row {row} among the {len(tokens)} rows of {self.argument}.")
        image = (tokens == self.image_token).cpu()
        before = int(image[: row % len(tokens)].sum())
        numbers = (image[row].cumsum(0) - 1 + before).where(image[row], -1)
        return Read(self.patches, self.each, tuple(numbers.tolist()))

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        raise AxisError(
            "Which positions are a picture's is in the input. Ask layout.given(INPUTS, row=...).of(NAME).where(...)."
        )


@dataclass(frozen=True)
class Read(Layout):
    """The positions of one row: `numbers` has which patch of all pictures each is, and -1 for text."""

    patches: Patches
    each: int
    numbers: tuple[int, ...]

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        expect_within(position, extent, 1)
        if extent[0] < len(self.numbers):
            raise AxisError(
                f"{extent[0]} positions are fewer than the {len(self.numbers)} tokens of the input: a cached step's "
                "are counted from its own first. Place them within the whole."
            )
        number = self.numbers[position[0]] if position[0] < len(self.numbers) else -1
        if number < 0:
            return Place(f"token {position[0]}", token=position[0])
        picture, patch = divmod(number, self.each)
        place = self.patches.where((patch,), (self.each,))
        return replace(place, label=f"picture {picture}, {place.label}", picture=picture)
