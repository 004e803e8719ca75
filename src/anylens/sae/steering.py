"""Steering: interventions that push a model along a feature of an autoencoder, or along a direction."""

from typing import Any, Literal

import torch
from torch import Tensor

from anylens.core.axes import feature_axis
from anylens.core.errors import EditError, ShapeError
from anylens.running.actions import At
from anylens.running.interventions import Intervention, content_of
from anylens.sae.base import Feature

How = Literal["add", "clamp", "scale"]


def steer(feature: Feature | Tensor, strength: float, *, how: How = "add") -> Intervention:
    """Return an intervention that steers along a feature, or along a direction.

    Put it at the point that the autoencoder was trained on, narrowed as any intervention is:
    `hooks={point: anylens.steer(sae.feature(12), 8.0).on(pos=slice(1, None), steps=slice(5, None))}`. What the
    autoencoder does not explain stays as it is, and so do its other features.

    Args:
        feature: a feature, or a direction `[d_in]` such as `anylens.difference_of_means` gives.
        strength: in units of the feature's activation, or of the direction's length.
        how: `"add"` adds that much; `"clamp"` makes the activation, or the component along the direction, that much;
            `"scale"` multiplies it by that much.

    Raises:
        EditError: `how` is none of these, or the direction is of length zero.
        ShapeError: when it runs, the point has rows of another width, or only some of a row's features were selected.
    """
    if how not in ("add", "clamp", "scale"):
        raise EditError(f"how is 'add', 'clamp' or 'scale', and was given {how!r}.")
    named = repr(feature) if isinstance(feature, Feature) else "a direction"
    along = feature.direction if isinstance(feature, Feature) else _direction(feature)
    length = float(along.norm())
    if not 0 < length < float("inf"):
        raise EditError(f"Steering needs a direction that leads somewhere, and {named} has length {length}.")

    def amount(rows: Tensor) -> Tensor | float:
        if how == "add":
            return strength
        if isinstance(feature, Feature):
            now = feature.activation(rows).detach().to(rows.dtype)
        else:
            now = rows @ (along / length**2).to(rows)
        return (strength - now if how == "clamp" else (strength - 1) * now).unsqueeze(-1)

    def change(part: Tensor, at: At) -> Tensor:
        axis = feature_axis(at.axes)
        if part.shape[axis] != len(along):
            raise ShapeError(
                f"Steering along {len(along)} features does not fit {at.name}, of which {part.shape[axis]} on axis "
                f"{at.axes[axis]!r} are selected."
            )
        rows = part.movedim(axis, -1)
        return (rows + amount(rows) * along.to(rows)).movedim(-1, axis)

    return Intervention(f"steer({named}, {strength:g}, how={how!r})", change)


def clamp_feature(feature: Feature | Tensor, strength: float) -> Intervention:
    """Set the activation of a feature, or the component along a direction, to a strength.

    `steer(feature, strength, how="clamp")`, but that how long a direction is does not matter: the strength is in the
    stream's own units, and not in lengths of the direction. Raises what `steer` does.
    """
    if not isinstance(feature, Feature):
        along = _direction(feature)
        feature = along / along.norm() if bool(along.any()) else along
    return steer(feature, strength, how="clamp")


def _direction(direction: Any) -> Tensor:
    found = torch.as_tensor(content_of("steer", direction)).detach().float()
    if found.ndim != 1:
        raise ShapeError(
            f"A direction to steer along is of shape [d_in], and one of {list(found.shape)} was given."
        )
    return found
