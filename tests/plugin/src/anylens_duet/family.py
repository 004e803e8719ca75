"""The family of duets: what watching one cannot show."""

from typing import Any

import torch
from torch import nn

from anylens.families import Family, Matches, Tokens

NOTES, BEATS = 7, 5


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build two pieces, with more notes than beats."""
    config: Any = model.config
    numbers = torch.Generator().manual_seed(0)
    return {
        "notes": torch.randint(config.notes, (2, NOTES), generator=numbers),
        "beats": torch.randint(config.beats, (2, BEATS), generator=numbers),
    }


family = Family(
    name="duet",
    matches=Matches(classes=("anylens_duet.model.Duet",)),
    example=example,
    prefixes={"upper_part": "melody", "lower_part": "rhythm"},
    aliases={
        "note.{i}": "melody.blocks.{i}.hook_resid_post",
        "notes": "melody.blocks.*.hook_resid_post",
    },
    layout=Tokens((("melody", "notes"), ("rhythm", "beats"))),
)
