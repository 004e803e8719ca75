"""Proteins: one token for each residue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Layout, Place, expect_within
from anylens.families.sizes import first, free, numbers, tokens

# the tokens of ESM's vocabulary from number 4 on (https://github.com/facebookresearch/esm, esm/constants.py)
LETTERS = "LAGVSERTIDPKQNFYMHWCXBUZO.-"
FIRST_LETTER, VOCABULARY = 4, 33


@dataclass(frozen=True)
class Residues(Layout):
    """Residues counted from one, as biologists do, behind a token for the start; position n is residue n.

    `given(inputs)` reads the sequence: which residue stands there, where it ends, and what is masked or padding.
    """

    special: tuple[tuple[int, str], ...]  # a token's number -> what it stands for
    letters: str = ""
    read: tuple[int, ...] = ()

    def given(self, inputs: Any, row: int = 0) -> "Residues":
        held = inputs["input_ids"] if isinstance(inputs, Mapping) or hasattr(inputs, "keys") else inputs
        tokens = torch.as_tensor(held)
        return Residues(
            self.special, self.letters, tuple((tokens if tokens.dim() == 2 else tokens[None])[row].tolist())
        )

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        expect_within(position, extent, 1)
        number = position[0]
        if number >= len(self.read):
            return Place("start" if not number else f"residue {number}", token=number)
        token, letter = self.read[number], self.read[number] - FIRST_LETTER
        found = dict(self.special).get(token)
        shown = f" ({self.letters[letter]})" if 0 <= letter < len(self.letters) else ""
        if found is None:
            return Place(f"residue {number}{shown}", token=number)
        return Place(f"residue {number} (masked)" if found == "mask" else found, token=number)


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few sequences of residues, each between a start and an end."""
    config: Any = model.config
    shape = (free((2, 3, 5), numbers(config)), free((11, 13, 9, 7), numbers(config)))
    letters = config.vocab_size == VOCABULARY
    ordinary = range(FIRST_LETTER, FIRST_LETTER + 20) if letters else range(3, config.vocab_size)
    found = tokens(config.vocab_size, shape, set(range(config.vocab_size)) - set(ordinary))
    found[:, 0], found[:, -1] = _ends(config)
    return {"input_ids": found}


def _ends(config: Any) -> tuple[int, int]:
    """Return the tokens for start and end; configs of the hub leave them out, the vocabulary has them at 0 and 2."""
    return first(config, "bos_token_id") or 0, first(config, "eos_token_id") or 2


def layout(model: nn.Module) -> Residues:
    """Read the special tokens off the config."""
    config: Any = model.config
    start, end = _ends(config)
    special = {start: "start", end: "end", config.pad_token_id: "padding", config.mask_token_id: "mask"}
    named = tuple((token, name) for token, name in special.items() if token is not None)
    return Residues(named, LETTERS if config.vocab_size == VOCABULARY else "")


family = Family(
    name="protein",
    matches=Matches(model_types=("esm",), takes=("input_ids",)),
    example=example,
    layout=layout,
    preprocess="AutoTokenizer",
)
