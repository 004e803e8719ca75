"""What a sweep puts in: by a point's name and a step, a tensor that broadcasts against the value there."""

from collections.abc import Callable, Mapping

from torch import Tensor

from anylens.core.errors import RunError, ShapeError

Content = Callable[[str, int], Tensor]


def kept(values: Mapping[tuple[str, int], Tensor]) -> Content:
    """Return recorded values as content. It raises RunError for a step that they do not have."""

    def content(name: str, step: int) -> Tensor:
        if (name, step) not in values:
            raise RunError(f"The run that is patched from did not reach {name} in step {step}.")
        return values[name, step]

    return content


def fitted(new: Tensor, value: Tensor, name: str) -> Tensor:
    """Return content as a value of a point can take it. Raises ShapeError where it does not fit."""
    try:
        return new.to(value).expand_as(value)
    except RuntimeError as error:
        raise ShapeError(
            f"{name} has shape {list(value.shape)} in the run that is edited, and {list(new.shape)} in what is put in. "
            "Give inputs of the same size."
        ) from error
