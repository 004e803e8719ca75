"""Hygiene: whatever a run did or ended in, the model and torch are afterwards what they were."""

import copy
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from anylens.conformance.compare import differences
from anylens.conformance.report import Tally
from anylens.conformance.sampling import every_nth
from anylens.conformance.subject import Subject, changed, said, seeded
from anylens.core.errors import RunError
from anylens.core.replaced import find_function
from anylens.lens import Lens

State = dict[str, Any]


def state(model: nn.Module, functions: Iterable[str] = ()) -> State:
    """Return what must not change, by what it is."""
    found: State = {"torch": _torch_state()}
    found |= {f"function {path}": _held(path) for path in functions}
    for path, module in model.named_modules():
        found[f"module {path or '(the model)'}"] = (id(module), type(module), module.training)
        found[f"attributes of {path or '(the model)'}"] = sorted(module.__dict__)
        for name, held in module.__dict__.items():
            if "hooks" in name and hasattr(held, "__len__"):
                found[f"{name} of {path or '(the model)'}"] = [id(hook) for hook in _values(held)]
    for path, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found[f"tensor {path}"] = (id(tensor), tensor.requires_grad, _digest(tensor), tensor.grad is None)
    found["state_dict"] = list(model.state_dict())
    found |= {f"config {number}": config for number, config in enumerate(_configs(model))}
    return found


def _values(held: Any) -> Any:
    return held.values() if hasattr(held, "values") else held


def _held(path: str) -> int:
    """Say which function has a place that a stand-in takes for a while."""
    place = find_function(path)
    return id(place.function) if place is not None else 0


def _torch_state() -> tuple[Any, ...]:
    held = torch.nn.modules.module
    names = sorted(name for name in vars(held) if name.startswith("_global_") and "hooks" in name)
    hooks = tuple(len(getattr(held, name)) for name in names if hasattr(getattr(held, name), "__len__"))
    return (
        torch.is_grad_enabled(),
        torch._C._len_torch_function_stack(),
        torch.get_default_dtype(),
        torch.is_inference_mode_enabled(),
        hooks,
    )


def _digest(tensor: torch.Tensor) -> str:
    if tensor.device.type == "meta" or not tensor.numel():
        return str(tuple(tensor.shape))
    raw = (
        tensor.detach().cpu().contiguous().view(torch.uint8)
        if tensor.dim()
        else tensor.detach().cpu().reshape(1)
    )
    return hashlib.sha256(raw.view(torch.uint8).numpy().reshape(-1).data).hexdigest()


def _configs(model: nn.Module) -> list[Any]:
    """Return copies of the settings of all configs in the model."""
    held = {
        id(c): c for c in (getattr(module, "config", None) for module in model.modules()) if c is not None
    }
    return [copy.deepcopy(getattr(config, "__dict__", config)) for config in held.values()]


def _same(before: Any, after: Any) -> bool:
    return bool(repr(before) == repr(after))


class _Broken(Exception):
    """Raised by a hook on purpose."""


def leaves_nothing(subject: Subject, tally: Tally) -> None:
    """Run in every way, end badly in every way, and compare the model with what it was before."""
    lens = Lens(subject.model, anatomy=subject.lens.anatomy, family=subject.lens.family)
    other = Subject(lens, subject.given, subject.names, subject.sampling)
    subject.own()
    functions = [one.function for one in lens.stand_ins]
    before = state(subject.model, functions)
    for what, act in _ways(other):
        try:
            act()
        except Exception as error:
            tally.fail(what, said(error))
        after = state(subject.model, functions)
        _compare(tally, what, before, after)
        before = after
        found = differences(subject.output, subject.own())
        tally.expect(not found, f"the model's output after {what}", found[0] if found else "")
    try:
        other.read(other.plain[:1] or other.native[:1])
        tally.fail("detach", "a detached lens still runs")
    except RunError:
        tally.count += 1


def _compare(tally: Tally, what: str, before: State, after: State) -> None:
    for name in before.keys() | after.keys():
        seen = after.get(name)
        tally.expect(_same(before.get(name), seen), name, f"is another after {what}")


def _ways(subject: Subject) -> Iterator[tuple[str, Any]]:
    points = subject.canonical or subject.native
    some = [points[0], points[len(points) // 2], points[-1]]
    yield "a run with every canonical and native point", lambda: subject.read([*points, *subject.native])
    yield "a run with operations", lambda: subject.read(subject.ops[:64])
    edits = {point.name: lambda value, _: changed(value) for point in points}
    yield "an edit at every canonical point at once", lambda: subject.edit(edits)
    for point in every_nth([point for point in subject.ops if point.tap.side == "in"], 8):
        yield f"an edit at {point.name}", lambda p=point: _if_taken(subject, p.name)
    for point in some:
        yield f"an edit at {point.name}", lambda p=point: subject.edit({p.name: lambda v, _: changed(v)})
        yield (
            f"a hook at {point.name} that changes its copy in place",
            lambda p=point: _in_place(subject, p.name),
        )
        yield f"a hook at {point.name} that raises", lambda p=point: _raising(subject, p.name)
        yield f"stop_early at {point.name}", lambda p=point: subject.read([p], stop_early=True)
        yield f"gradients at {point.name}", lambda p=point: _with_gradient(subject, p.name)
    for point in subject.ops[1:2]:
        yield f"a hook at {point.name} that raises", lambda p=point: _raising(subject, p.name)
    yield "an input that the model refuses", lambda: _refused(subject, points[0].name)
    yield "detach", subject.lens.detach


def _if_taken(subject: Subject, name: str) -> None:
    """Edit an operand, which may be a parameter; the model may refuse what it gets."""
    with suppress(Exception):
        subject.edit({name: lambda value, _: changed(value)})


def _in_place(subject: Subject, name: str) -> None:
    def hook(value: torch.Tensor, _: Any) -> None:
        value.zero_()

    output = subject.edit({name: hook})
    if not subject.by_name.get(name) or not subject.by_name[name].needs_stand_in:
        found = differences(subject.output, output)
        if found:
            raise AssertionError(f"the output changed though the hook returned None: {found[0]}")


def _raising(subject: Subject, name: str) -> None:
    def hook(*_: Any) -> None:
        raise _Broken

    with _expected(_Broken):
        subject.edit({name: hook})


def _refused(subject: Subject, name: str) -> None:
    with _expected(Exception):
        subject.lens.run_with_cache(object(), object(), object(), points=name, no_such_argument=1)


def _with_gradient(subject: Subject, name: str) -> None:
    args, kwargs = subject.fresh()
    with seeded():
        subject.lens.run_with_cache(*args, points=name, grad=True, **kwargs)


@contextmanager
def _expected(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not passed on")
