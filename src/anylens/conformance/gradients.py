"""Gradients reach every differentiable point, and captured values with a graph are the values."""

from typing import Any

import torch

from anylens.conformance.compare import differences, near, tensors, through
from anylens.conformance.deadends import matters, weighed
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, said, seeded
from anylens.conformance.sweep import Sweep


def reach_every_point(subject: Subject, tally: Tally, sweep: Sweep) -> None:
    """Take the gradient of all outputs at every canonical point; a zero must be the model's own."""
    points = [p for p in subject.canonical if p.dtype.startswith(("float", "bfloat"))]
    points = points or subject.native[-1:]
    known = subject.values if subject.canonical else subject.read_each(points)[0]
    try:
        output, values = _graph(subject, [point.name for point in points])
    except Exception as error:
        tally.fail("run with gradients", said(error))
        return
    floats = [t for t in tensors(output) if t.is_floating_point() and t.requires_grad]
    if not floats:
        tally.note("the model's output has no gradient: it computes without one")
        return
    tolerance = through(point.dtype for point in points if point.needs_stand_in)
    found = differences(subject.output, _detached(output), tolerance)
    tally.expect(not found, "output with the graph kept", found[0] if found else "")
    gradients = torch.autograd.grad(weighed(floats), list(values.values()), allow_unused=True)
    for (name, value), gradient in zip(values.items(), gradients, strict=True):
        own = known.get(name)
        tally.expect(
            own is not None and near(own, value, tolerance),
            name,
            "is another value with its graph than without",
        )
        _judge(subject, tally, sweep, (name, gradient))


def _graph(subject: Subject, names: list[str]) -> tuple[Any, dict[str, torch.Tensor]]:
    args, kwargs = subject.fresh()
    with seeded():
        output, cache = subject.lens.run_with_cache(*args, points=names, grad=True, **kwargs)
    return output, dict(cache)


def _detached(output: Any) -> Any:
    from anylens.core.tree import leaves, replace

    for key, tensor in list(leaves(output)):
        output = replace(output, key, tensor.detach())
    return output


def _judge(subject: Subject, tally: Tally, sweep: Sweep, what: tuple[str, torch.Tensor | None]) -> None:
    """Accept a gradient that is there; note one that is not finite; let a zero pass only if the value is dead."""
    name, gradient = what
    if gradient is not None and not bool(gradient.isfinite().all()):
        tally.note(f"{name}: the gradient is not finite")
    if gradient is not None and bool((gradient != 0).any()):
        tally.expect(True, name, "")
        return
    point = subject.by_name.get(name)
    done = sweep.at(point) if point is not None else None
    dead = done is not None and not done.live
    if not dead and point is not None and not point.needs_stand_in:
        value = subject.values[name]
        alike, reached = matters(subject, point, value)
        dead = alike > 0 and not reached
    tally.expect(dead, name, "has no gradient, though an edit of it changes the output")
    tally.note(f"no gradient, in the model itself: {name}")
