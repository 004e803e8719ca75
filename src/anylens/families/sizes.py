"""Sizes and random numbers for example inputs, read from a model's config."""

from collections.abc import Iterable
from typing import Any

import torch

SEED = 0


def text_settings(config: Any) -> Any:
    """Return the config of a model's text part, or the config itself."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def picture_settings(config: Any) -> Any:
    """Return the config of a model's picture part, or the config itself."""
    return getattr(config, "vision_config", None) or config


def numbers(config: Any) -> set[int]:
    """Return the sizes that a config holds, without the ids of tokens."""
    held = vars(config).items()
    return {value for name, value in held if type(value) is int and not name.endswith("_id")}


def free(candidates: Iterable[int], taken: set[int], most: int | None = None) -> int:
    """Return the first candidate that no other size equals, so that axes can be told apart."""
    fitting = [size for size in candidates if most is None or size <= most]
    return next((size for size in fitting if size not in taken), fitting[0] if fitting else most or 1)


def first(config: Any, *names: str) -> Any:
    """Return the first of these settings that is there, or None."""
    return next((getattr(config, name) for name in names if getattr(config, name, None) is not None), None)


def pair(value: Any) -> tuple[int, int]:
    """Return height and width from one number or from two."""
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return int(height), int(width)


def tokens(vocabulary: int, shape: tuple[int, ...], special: set[int]) -> torch.Tensor:
    """Draw tokens, none of them special where the vocabulary allows."""
    ordinary = [token for token in range(min(vocabulary, 1000)) if token not in special] or [0]
    drawn = torch.randint(len(ordinary), shape, generator=torch.Generator().manual_seed(SEED))
    return torch.tensor(ordinary)[drawn]


def picture(*shape: int) -> torch.Tensor:
    """Draw a batch of pictures."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
