"""Values are what an independent plain hook sees at that moment, and stay so whatever happens afterwards."""

from typing import Any

import torch

from anylens.anatomy.anatomy import BlockRecord
from anylens.anatomy.points import Point
from anylens.conformance.compare import differences, gap, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, filled_memory, said
from anylens.conformance.witness import Place, Sightings, Witness, of_all, place_of
from anylens.core.tree import leaves

Ends = tuple[list[torch.Tensor], list[torch.Tensor]]  # what enters a call, what leaves it
Seen = dict[tuple[str, int], Ends]  # by path and turn


def as_witnessed(subject: Subject, tally: Tally) -> None:
    """Compare every native point, and every operand and result, with plain hooks that count instead of label."""
    for group in subject.batches([*subject.native, *subject.ops]):
        places = {point.name: place_of(point) for point in group}
        seen = witnessed(subject, tally, set(places.values()))
        values, _ = subject.read_each(group)
        for name, value in values.items():
            own, value = seen.get(places[name]), of_all(value)
            if own is None:
                tally.fail(name, "no plain hook sees a tensor there")
                continue
            own = of_all(own)
            holds = same_bits(own, value) or _unwritten(subject, tally, name, places[name])
            tally.expect(holds, name, f"differs by {gap(own, value):.1e} from what a plain hook sees")


def _unwritten(subject: Subject, tally: Tally, name: str, place: Place) -> bool:
    """Whether a place holds memory that nothing has written yet: once torch fills it, both see the same."""
    witness = Witness(subject.model, [place])
    with filled_memory(), witness.watching():
        subject.own()
    with filled_memory():
        values, _ = subject.read_each([subject.lens.points[name]])
    alike = name in values and same_bits(witness.seen[place], values[name])
    if alike:
        tally.note(f"{name} is memory that nothing has written yet; filled by torch, it is the same")
    return alike


def witnessed(subject: Subject, tally: Tally, places: set[Place]) -> dict[Place, torch.Tensor]:
    """Run the model under the witness alone, and return what it saw."""
    witness = Witness(subject.model, places)
    with witness.watching():
        output = subject.own()
    found = differences(subject.output, output)
    tally.expect(not found, "output under plain hooks", found[0] if found else "")
    return witness.seen


def at_blocks(subject: Subject, tally: Tally) -> None:
    """Compare what enters and leaves each block's module, by a plain hook on it, with the stream's points."""
    records = dict(subject.blocks())
    seen: Seen = {}
    _watch_blocks(subject, {path for block in records.values() for path, _ in block.calls}, seen)
    for base, block in records.items():
        entered, left = _at_ends(block, seen)
        stem, _, number = base.rpartition(".")
        after = records.get(f"{stem}.{int(number) + 1}")
        if block.parts is not None and after is not None:  # what is added last, a part of the next takes
            left += _at_ends(after, seen)[0]
        ends = [f"{base}.hook_normalized_resid_post", f"{base}.hook_resid_post"]
        end = next((name for name in ends if name in subject.by_name), "")
        for name, tensors, side in (
            (f"{base}.hook_resid_pre", entered, "enters"),
            (end, left, "leaves"),
        ):
            last = block.parts is not None and after is None and side == "leaves"
            open_end = last or block.parts == ()  # the sums alone say what it is
            if name in subject.values and not open_end:
                value = subject.values[name]
                given_out = side == "leaves" and _added(entered, left, value)  # its caller adds what it gives
                tally.expect(
                    _among(tensors, value) or given_out,
                    name,
                    f"is none of the tensors whose way {side} call {block.turn} of {block.path}",
                )


def changed_between(
    subject: Subject, before: tuple[str, torch.Tensor], after: tuple[str, torch.Tensor]
) -> bool:
    """Whether plain hooks see one value leave a block and another enter the next in its place, as the same tensor.

    Some models write into the stream between two blocks: vision features at the positions of a picture.
    """
    records = dict(subject.blocks())
    (base, left), (following, entered) = before, after
    one, other = records[base], records[following]
    seen: Seen = {}
    _watch_blocks(subject, {path for block in (one, other) for path, _ in block.calls}, seen)
    leaving, entering = _at_ends(one, seen)[1], _at_ends(other, seen)[0]
    return left.shape == entered.shape and _among(leaving, left) and _among(entering, entered)


def _at_ends(block: BlockRecord, seen: Seen) -> Ends:
    """Return what enters and what leaves a block, or the parts of one that is no module."""
    found = [seen.get(call, ([], [])) for call in block.calls]
    return [tensor for entered, _ in found for tensor in entered], [
        tensor for _, left in found for tensor in left
    ]


def _among(tensors: list[torch.Tensor], value: torch.Tensor) -> bool:
    """Whether a value is one of these tensors, or two of them end to end."""
    if any(same_bits(tensor, value) for tensor in tensors):
        return True
    pairs = [(one, other) for one in tensors for other in tensors if one is not other]
    fitting = [pair for pair in pairs if {one.dim() for one in pair} == {value.dim()}]
    return any(_end_to_end(pair, value) for pair in fitting)


def _added(entered: list[torch.Tensor], left: list[torch.Tensor], value: torch.Tensor) -> bool:
    """Whether a value is the sum of one tensor that enters and one that leaves."""
    pairs = [(one, other) for one in entered for other in left if one.shape == other.shape == value.shape]
    return any(same_bits(one + other, value) for one, other in pairs)


def _end_to_end(pair: tuple[torch.Tensor, torch.Tensor], value: torch.Tensor) -> bool:
    differ = [n for n in range(value.dim()) if not pair[0].shape[n] == pair[1].shape[n] == value.shape[n]]
    return len(differ) == 1 and same_bits(torch.cat(pair, differ[0]), value)


def _watch_blocks(subject: Subject, paths: set[str], seen: Seen) -> None:
    modules = dict(subject.model.named_modules())
    turns = dict.fromkeys(paths, 0)
    entering: dict[str, list[torch.Tensor]] = {}

    def enter(path: str) -> Any:
        def hook(_: Any, args: Any, kwargs: Any) -> None:
            entering[path] = [tensor.detach().clone() for _, tensor in leaves((args, kwargs))]

        return hook

    def leave(path: str) -> Any:
        def hook(_: Any, args: Any, output: Any) -> None:
            left = [tensor.detach().clone() for _, tensor in leaves(output)]
            seen[path, turns[path]] = (entering[path], left)
            turns[path] += 1

        return hook

    handles = [modules[path].register_forward_pre_hook(enter(path), with_kwargs=True) for path in paths]
    handles += [modules[path].register_forward_hook(leave(path)) for path in paths]
    try:
        subject.own()
    finally:
        for handle in handles:
            handle.remove()


def own_memory(subject: Subject, tally: Tally) -> None:
    """No captured value shares memory with the model, its input, its output, another capture, or any intermediate."""
    for points in (subject.plain, subject.native):
        for group in subject.batches(points):
            try:
                _apart(subject, tally, group)
            except Exception as error:
                tally.fail(f"{len(group)} points", said(error))


def _apart(subject: Subject, tally: Tally, group: list[Point]) -> None:
    args, kwargs = subject.fresh()
    sightings = Sightings()
    sightings.results = []
    with torch.no_grad(), sightings:
        output, captured = subject.lens.run_with_cache(
            *args, points=[point.name for point in group], **kwargs
        )
    held = [*subject.model.parameters(), *subject.model.buffers()]
    held += [tensor for _, tensor in leaves((args, kwargs, output))]
    cache = {name: of_all(value) for name, value in captured.items()}
    values = list(cache.values())
    mine = {id(tensor) for tensor in values}
    taken = {memory(tensor) for tensor in (*held, *sightings.results) if id(tensor) not in mine}
    for name, value in cache.items():
        where = memory(value)
        tally.expect(
            where not in taken or not value.numel(), name, "shares its memory with a tensor of the model"
        )
        taken.add(where)


def memory(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins."""
    return tensor.untyped_storage().data_ptr() or id(tensor)
