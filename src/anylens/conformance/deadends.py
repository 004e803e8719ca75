"""Dead ends: points whose value does not matter to the output. None is believed on the lens's word."""

from collections.abc import Callable
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import differences, same_bits, tensors
from anylens.conformance.subject import Subject, changed, said
from anylens.conformance.substitute import CHOOSES, nothing_to_choose, weighed_anew, without_effect
from anylens.conformance.sweep import Sweep
from anylens.conformance.witness import Sightings, Witness, place_of
from anylens.core.names import join
from anylens.core.tree import leaves

# Scores, pattern and what heads write often exist only inside a stand-in: they are dead if what they go into is.
GOES_INTO = {
    "hook_attn_scores": "hook_pattern",
    "hook_pattern": "hook_z",
    "hook_result": "hook_z",
}
# What enters a block is its own: where others take the same tensor, it is dead if what leaves the block is.
ENTERS = {"hook_resid_pre": "hook_resid_post"}


def plain_edit(subject: Subject, point: Point) -> Any:
    """Edit a native point or an operation with a plain hook; return the output, or as text the error it ends in."""
    witness = Witness(subject.model, [place_of(point)], changed)
    try:
        with witness.watching():
            return subject.own()
    except Exception as error:
        return said(error)


def why_dead(subject: Subject, sweep: Sweep, point: Point) -> str:
    """Say why a canonical point is a dead end, or nothing if its value is found to matter."""
    return _dead_itself(subject, sweep, point) or _dead_module(subject, point)


def _dead_module(subject: Subject, point: Point) -> str:
    """Say which module around a point gives nothing that matters: plain hooks edit all that it gives, to no effect.

    So it is where a head's result is not used, and where weights of 1e-10 follow, which some models are made with.
    """
    path = point.tap.path
    while path:
        given = [one for one in subject.native if one.tap.path == path and one.tap.side == "out"]
        floats = [one for one in given if one.dtype.startswith(("float", "bfloat"))]
        if floats and all(_changes_nothing(subject, one) for one in floats):
            return f"plain hooks that edit what {path} gives change nothing"
        path = path.rpartition(".")[0]
    return ""


def _changes_nothing(subject: Subject, point: Point) -> bool:
    edited = plain_edit(subject, point)
    return not isinstance(edited, str) and not differences(subject.output, edited)


def _dead_itself(subject: Subject, sweep: Sweep, point: Point) -> str:
    if point.name.rpartition(".")[2] in CHOOSES and (why := nothing_to_choose(subject, point)):
        return why
    if point.name.rpartition(".")[2] in GOES_INTO and (why := _dead_onward(subject, sweep, point, GOES_INTO)):
        return why
    if point.needs_stand_in:
        return weighed_anew(subject, point)
    value = subject.values.get(point.name)
    if value is None or not value.is_floating_point():
        return ""
    alike, reached = matters(subject, point, value)
    if not alike:
        return ""
    if not reached:
        return "no gradient of the output reaches its value"
    return _dead_onward(subject, sweep, point, ENTERS) or without_effect(subject, point, changed)


def matters(subject: Subject, point: Point, value: torch.Tensor) -> tuple[int, bool]:
    """Return how many tensors of the bare model hold this content, and whether a gradient reaches one of them.

    Where a graph is kept some functions take another way, and what they compute differs by rounding: a content that
    is not found is sought once more as it is then.
    """
    kept, output = _sought(subject, point, value)
    if not kept:
        kept, output = _sought(subject, point, _with_graph(subject, point))
    floats = [t for t in tensors(output) if t.is_floating_point() and t.requires_grad]
    inputs = [tensor for tensor in kept if tensor.requires_grad]
    if not (floats and inputs):
        return len(kept), False
    gradients: tuple[torch.Tensor | None, ...] = torch.autograd.grad(
        weighed(floats), inputs, allow_unused=True
    )
    return len(kept), any(g is not None and bool((g != 0).any()) for g in gradients)


def _sought(subject: Subject, point: Point, value: torch.Tensor) -> tuple[list[torch.Tensor], Any]:
    """Run the bare model with a graph; return its tensors that hold a content, and its output."""
    keeper = Keeper(point, value)
    args, kwargs = subject.fresh()
    with torch.enable_grad(), torch.random.fork_rng(), keeper:
        torch.manual_seed(0)
        output = subject.model(*args, **kwargs)
    return keeper.kept, output


def _with_graph(subject: Subject, point: Point) -> torch.Tensor:
    args, kwargs = subject.fresh()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, cache = subject.lens.run_with_cache(*args, points=point.name, grad=True, **kwargs)
    return cache[point.name].detach()


def weighed(outputs: list[torch.Tensor]) -> torch.Tensor:
    """Return one number that depends on every finite number of the outputs, with random weights."""
    generator = torch.Generator().manual_seed(1)
    total = outputs[0].new_zeros((), dtype=torch.float64)
    for tensor in outputs:
        weights = torch.randn(tensor.shape, generator=generator).to(tensor.device, torch.float64)
        finite = torch.where(tensor.isfinite(), tensor, torch.zeros_like(tensor))
        total = total + (finite.double() * weights).sum()
    return total


class Keeper(Sightings):
    """Keeps the tensors with a content, as the bare model computes them."""

    def __init__(self, point: Point, content: torch.Tensor) -> None:
        super().__init__(point.layout)
        self.kept: list[torch.Tensor] = []
        self.wanted = {"it": content}

    def look(self, tensor: torch.Tensor) -> None:
        """Keep a tensor that has the content."""
        seen = self.shown(tensor)
        if seen is None or not same_bits(seen.detach(), self.wanted["it"]):
            return
        if not any(tensor is kept for kept in self.kept):
            self.kept.append(tensor)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at results too: a value that nothing takes matters only if it is given out."""
        result = super().__torch_function__(func, types, args, kwargs)
        for _, tensor in leaves(result):
            self.look(tensor)
        return result


def _dead_onward(subject: Subject, sweep: Sweep, point: Point, onto: dict[str, str]) -> str:
    """Say whether the point that a value goes into is a dead end."""
    base, _, last = point.name.rpartition(".")
    onward = subject.by_name.get(join(base, onto.get(last, "")))
    if onward is None:
        return ""
    if not sweep.at(onward).live and why_dead(subject, sweep, onward):
        return f"what it goes into, {onward.name}, is a dead end"
    return ""
