"""What stands between the last state of a stream and the model's output: the final norm and the head, as they ran."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anylens.analysis.streams.carries import Carry, find_carry, frozen, same, tolerance, unchanged
from anylens.analysis.streams.parts import called
from anylens.anatomy.anatomy import StreamRecord
from anylens.core.errors import AnatomyError
from anylens.core.names import join
from anylens.lens import Lens
from anylens.running.capture import Cache


@dataclass(frozen=True)
class Head:
    """A linear map to the output: `output = module(x)`; `positions` are those that it reads, if it reads one a row."""

    module: nn.Module
    positions: Int[Tensor, "batch"] | None = None

    def on(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos output"]:
        """Return the output for every position."""
        found: Tensor = self.module(x)
        return found

    def pull(
        self, along: Float[Tensor, "#batch output"], like: Float[Tensor, "batch pos d_model"]
    ) -> tuple[Float[Tensor, "#batch 1 d_model"], Float[Tensor, "#batch 1"]]:
        """Return the direction before the head that stands for one of its output, and what the bias adds to it."""
        with torch.enable_grad():
            x = torch.zeros_like(like[:1, :1]).expand(len(along), 1, -1).clone().requires_grad_()
            bias = (self.on(x) * along.unsqueeze(1)).sum(-1)
            (direction,) = torch.autograd.grad(bias.sum(), x)
        return direction, bias.detach()


def end_points(stream: StreamRecord) -> list[str]:
    """Return the points that show what enters the final norm and the head."""
    return [f"{path}.hook_in" for path in (stream.norm, stream.unembed) if path]


def final_norm(lens: Lens, stream: StreamRecord, cache: Cache, state: Tensor) -> Carry:
    """Return the final norm, frozen on the last state; the carry that changes nothing where there is none."""
    if not stream.norm:
        return unchanged(state)
    entered = cache[f"{stream.norm}.hook_in"]
    if not same(state, entered) and read_positions(state, entered) is None:
        raise AnatomyError(
            f"{stream.norm} does not take the last state of the stream as it is, position by position, so what each "
            "part becomes in it cannot be told."
        )
    return frozen(called(lens.model.get_submodule(stream.norm)), state)


def head_of(lens: Lens, stream: StreamRecord, cache: Cache, normalized: Tensor) -> tuple[Carry, Head]:
    """Return the head of a stream, and what scales the normalised stream before it.

    Raises AnatomyError where there is no head, or where more than a factor stands before it.
    """
    name = f"{stream.unembed}.hook_in"
    where = join(stream.prefix, "ln_final.hook_normalized")
    if not stream.unembed or name not in cache:
        raise AnatomyError(
            f"No module was found whose one linear map takes the stream to the output. Give a direction before it: "
            f"Direction(..., at={where!r}), or at a hook_resid_post."
        )
    head, entered = lens.model.get_submodule(stream.unembed), cache[name]
    positions = read_positions(normalized, entered)
    if positions is not None or _is_mean(normalized, entered):
        return unchanged(normalized), Head(head, positions)
    if entered.shape != normalized.shape:
        raise AnatomyError(f"{stream.unembed} does not take the normalised stream position by position.")
    return find_carry(normalized, entered, what=f"the final norm and {stream.unembed}"), Head(head)


def read_positions(x: Float[Tensor, "batch pos d_model"], entered: Tensor) -> Int[Tensor, "batch"] | None:
    """Return which position of each row entered a module that takes one of them, as a class token; None for others."""
    entered = entered.squeeze(1) if entered.dim() == 3 and entered.shape[1] == 1 else entered
    if entered.shape != x[:, 0].shape or x.shape[1] == 1:
        return None
    apart = (x - entered.unsqueeze(1)).abs().amax(-1)
    fits = bool(apart.amin(1).max() <= tolerance(x) * entered.abs().max())
    return apart.argmin(1) if fits else None


def _is_mean(x: Tensor, entered: Tensor) -> bool:
    """Whether what entered is the mean over the positions, or over all but the first."""
    return any(same(x[:, first:].mean(1), entered) for first in (0, 1))
