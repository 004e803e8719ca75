"""What an edit would do without the lens: plain torch puts another value in the place of a point's own.

A gradient says that a value matters on paper. Whether that shows is another question: its effect may lie below the
rounding of what it is added to, or end in a choice that stays the same. So the same edit is made in the bare model.
"""

from collections.abc import Callable
from typing import Any

import torch

from anylens.anatomy.perform import in_place
from anylens.anatomy.points import Point
from anylens.anatomy.vocabulary import SILENT
from anylens.conformance.compare import MASK, differences, same_bits
from anylens.conformance.subject import Subject, changed
from anylens.conformance.witness import Change, Sightings, name_of
from anylens.core.tree import leaves, replace

# These say in which shares the values of keys are mixed.
CHOOSES = frozenset({"hook_q", "hook_k", "hook_attn_scores", "hook_pattern"})
MEETS = {"hook_q": "hook_k", "hook_k": "hook_q"}
ALIKE = 1e-6  # relative to the largest value: no further apart than rounding puts them


class Substitute(Sightings):
    """Puts another value in the place of every tensor with a content, wherever the bare model makes or takes one."""

    def __init__(self, point: Point, content: torch.Tensor, change: Change) -> None:
        super().__init__(point.layout)
        self.content = content
        self.change = change
        self.times = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace what a function takes, before it runs, and what it gives."""
        kwargs = kwargs or {}
        if name_of(func) in SILENT:
            return func(*args, **kwargs)
        args, kwargs = self.replaced((args, kwargs), written=in_place(func))
        return self.replaced(func(*args, **kwargs), written=in_place(func))

    def replaced(self, held: Any, *, written: bool) -> Any:
        """Return a container with the other value; what a function writes to has others that hold it."""
        with torch._C.DisableTorchFunction():
            for key, tensor in list(leaves(held)):
                new = self.other(tensor)
                if new is not None and written:
                    tensor.copy_(new)
                elif new is not None:
                    held = replace(held, key, new)
        return held

    def other(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return what stands in the place of a tensor that has the content; None for any other."""
        if tensor.numel() % max(self.content.numel(), 1):
            return None
        try:
            seen, back = self.layout.view(tensor) if self.layout else (tensor, None)
        except (ValueError, RuntimeError, IndexError):
            return None
        if not same_bits(seen, self.content):
            return None
        self.times += 1
        new = self.change(seen)
        return back(new) if back else new


def without_effect(subject: Subject, point: Point, change: Change) -> str:
    """Say that a value put in the place of a point's own leaves the output as it is; nothing if it does not."""
    substitute = Substitute(point, subject.values[point.name], change)
    try:
        with substitute:
            output = subject.own()
    except Exception:
        return ""
    if not substitute.times or differences(subject.output, output):
        return ""
    return "another value put in its place by plain torch leaves the output as it is, to the last bit"


def weighed_anew(subject: Subject, point: Point) -> str:
    """Say that z as plain torch computes it from an edited pattern, or scores, leaves the output as it is."""
    base, _, last = point.name.rpartition(".")
    found = _values(subject, base)
    if last not in ("hook_attn_scores", "hook_pattern") or found is None:
        return ""
    scores, pattern, v = found
    weights = changed(pattern) if last == "hook_pattern" else changed(scores).softmax(-1)
    z = (weights.to(v.dtype) @ v).transpose(-3, -2)
    onto = subject.by_name[f"{base}.hook_z"]
    if not without_effect(subject, onto, lambda own: z.reshape(own.shape).to(own.dtype)):
        return ""
    return f"z computed by plain torch from another {last.removeprefix('hook_')} leaves the output as it is"


def nothing_to_choose(subject: Subject, point: Point) -> str:
    """Say that the keys which each query sees all hold the same value, so that it does not matter which it takes."""
    base, _, last = point.name.rpartition(".")
    found = _values(subject, base)
    if found is None:
        return ""
    scores, _, v = found
    if not bool(v.any()):
        return "all its values are zero"
    if last == "hook_pattern":
        return ""
    meets = subject.values.get(f"{base}.{MEETS.get(last, '')}")
    if meets is not None and not bool(meets.any()):
        return "what it is multiplied with is all zero"
    seen = scores > -MASK
    alike = torch.cdist(v.double(), v.double(), p=torch.inf) <= ALIKE * float(v.abs().max())
    first = seen.to(torch.uint8).argmax(-1, keepdim=True)  # the first key that each query sees
    same = alike.gather(-2, first.expand_as(scores)) | ~seen
    return "the keys that a query sees all hold the same value" if bool(same.all()) else ""


def _values(subject: Subject, base: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Return scores, pattern and v, one of its heads for each of theirs, or None where their axes are others."""
    names = [f"{base}.hook_{part}" for part in ("attn_scores", "pattern", "v", "z")]
    if not all(name in subject.values for name in names):
        return None
    usual = [("head", "query_pos", "key_pos")] * 2 + [("pos", "head", "d_head")] * 2
    if any(subject.by_name[name].axes[-3:] != axes for name, axes in zip(names, usual, strict=True)):
        return None
    scores, pattern, v = (subject.values[name] for name in names[:3])
    v = v.transpose(-3, -2)
    groups, rest = divmod(scores.shape[-3], v.shape[-3])
    v = v.repeat_interleave(groups, -3)
    fits = (
        not rest and pattern.shape == scores.shape and v.shape[:-1] == (*scores.shape[:-2], scores.shape[-1])
    )
    return (scores, pattern, v) if fits else None
