"""The variants by name. A new one is one file with a final subclass of `Sae`, and a row here."""

from typing import Any

from anylens.core.errors import LoadError
from anylens.core.suggest import nearest
from anylens.sae.base import Sae
from anylens.sae.batch_topk import BatchTopK
from anylens.sae.gated import Gated
from anylens.sae.jumprelu import JumpRelu
from anylens.sae.matryoshka import Matryoshka
from anylens.sae.standard import Standard
from anylens.sae.topk import TopK

VARIANTS: dict[str, type[Sae]] = {
    one.variant: one for one in (Standard, TopK, BatchTopK, JumpRelu, Gated, Matryoshka)
}


def make(variant: str, d_in: int, d_sae: int, **settings: Any) -> Sae:
    """Make an autoencoder of a variant, with its settings (`k=32`, `l1=5e-3`).

    Raises LoadError for a name or a setting that there is not.
    """
    if variant not in VARIANTS:
        close = nearest(variant, VARIANTS) or list(VARIANTS)
        raise LoadError(f"No variant of autoencoder is named {variant!r}. There is {', '.join(close)}.")
    try:
        return VARIANTS[variant](d_in, d_sae, **settings)
    except TypeError as error:
        raise LoadError(f"{variant} does not take these settings: {error}.") from error
