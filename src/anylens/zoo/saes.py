"""Sparse autoencoders that ship with the zoo's models: which there are, and where their files lie."""

from __future__ import annotations

from pathlib import Path

from anylens.core.errors import ZooError
from anylens.core.suggest import nearest

SAES_FOLDER = Path(__file__).parent / "sae_weights"


def sae_names() -> tuple[str, ...]:
    """The names of all autoencoders, as "MODEL/POINT"."""
    return tuple(
        sorted(f"{file.parent.parent.name}/{file.parent.name}" for file in SAES_FOLDER.glob("*/*/cfg.json"))
    )


def sae_folder(name: str) -> Path:
    """Where the package keeps an autoencoder; raises ZooError naming the nearest for a name that is none."""
    known = sae_names()
    if name not in known:
        model = name.partition("/")[0]
        close = [one for one in known if one.partition("/")[0] == model] or nearest(name, known)
        near = f"the nearest are {', '.join(close)}" if close else f"there are {', '.join(known) or 'none'}"
        raise ZooError(f"the zoo has no autoencoder called {name!r}; {near}")
    return SAES_FOLDER / name
