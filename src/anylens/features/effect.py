"""The effect of a feature: what steering with it does to the output."""

from dataclasses import dataclass

from anylens.features.kinds.kind import View


@dataclass(frozen=True)
class Effect:
    """What changed in some outputs when a feature was turned up.

    Attributes:
        size: how much: of scores the largest mean change of a logit, of pictures the mean difference of pixels, of
            texts the share that became others.
        told: the change in words.
        raised, lowered: the classes or words whose logits changed most, with the mean change.
        pairs: outputs before and after.
        strength: how much was added, in units of the feature's activation.
    """

    size: float
    told: str
    raised: tuple[tuple[str, float], ...] = ()
    lowered: tuple[tuple[str, float], ...] = ()
    pairs: tuple[tuple[View, View], ...] = ()
    strength: float = 0.0
