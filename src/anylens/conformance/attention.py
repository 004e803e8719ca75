"""Attention: pattern, scores and heads mean what their names say."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from anylens.conformance.compare import MASK, ONE, differences, gap, magnitude, near, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, noise, said
from anylens.core.names import join

SQUARE = ("head", "query_pos", "key_pos")
HEADS = ("pos", "head", "d_head")
PARTS = {
    "q": "hook_q",
    "k": "hook_k",
    "v": "hook_v",
    "scores": "hook_attn_scores",
    "pattern": "hook_pattern",
    "z": "hook_z",
    "result": "hook_result",
}
Values = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """One attention: the names of its points, by what they are."""

    base: str
    names: dict[str, str]

    def of(self, cache: Any) -> Values:
        """Return an attention's values out of a cache: squares end in head, query, key; the rest in head, pos."""
        values = {key: cache[name] for key, name in self.names.items() if name in cache}
        return {key: _heads_first(key, value) for key, value in values.items()}


def _heads_first(key: str, value: torch.Tensor) -> torch.Tensor:
    return value if key in ("scores", "pattern") else value.transpose(-3, -2)


def attentions(subject: Subject, tally: Tally) -> Iterator[Part]:
    """Yield every attention whose axes are named; note the others."""
    for name in subject.by_name:
        base, _, last = name.rpartition(".")
        if last != "hook_pattern":
            continue
        names = {key: join(base, hook) for key, hook in PARTS.items() if join(base, hook) in subject.by_name}
        missing = [key for key in ("q", "k", "v", "scores", "z") if key not in names]
        if missing:
            tally.fail(base, f"has a pattern but no {', '.join(missing)}")
            continue
        if "result" in names and _axes(subject, names["result"]) != _usual("result"):
            tally.note(f"{names.pop('result')} has its positions in several axes, not checked")
        odd = [key for key, hook in names.items() if _axes(subject, hook) != _usual(key)]
        if odd:
            tally.note(f"{base}: {', '.join(odd)} have other axes than heads, not checked")
            continue
        yield Part(base, names)


def _axes(subject: Subject, name: str) -> tuple[str, ...]:
    return subject.by_name[name].axes[-3:]


def _usual(key: str) -> tuple[str, ...]:
    if key in ("scores", "pattern"):
        return SQUARE
    return (*HEADS[:2], "d_model") if key == "result" else HEADS


def agree(subject: Subject, tally: Tally) -> None:
    """Rows of the pattern are a softmax of the scores and sum to one; pattern @ v is z; results sum to the map's."""
    for group in _groups(subject, list(attentions(subject, tally))):
        try:
            names = [name for part in group for name in part.names.values()]
            cache = subject.read([subject.by_name[name] for name in names])[1]
        except Exception as error:
            tally.fail(", ".join(part.base for part in group), said(error))
            continue
        for part in group:
            _pattern(tally, part, part.of(cache))
            _mixed(subject, tally, part, part.of(cache))


def _groups(subject: Subject, parts: list[Part]) -> Iterator[list[Part]]:
    """Yield attentions in groups whose values fit in memory together: one run reads them all."""
    whose = {name: part for part in parts for name in part.names.values()}
    for points in subject.batches(subject.by_name[name] for name in whose):
        yield list({part.base: part for part in (whose[point.name] for point in points)}.values())


def _pattern(tally: Tally, part: Part, values: Values) -> None:
    scores, pattern = values["scores"], values["pattern"]
    name = part.names["pattern"]
    tally.expect(bool((pattern >= 0).all()), name, "has negative numbers")
    masked = (scores == -torch.inf).all(-1)
    sums = pattern.double().sum(-1)
    away = float((sums - 1).abs()[~masked].max()) if bool((~masked).any()) else 0.0
    tally.expect(away <= ONE.get(pattern.dtype, 0.05), name, f"has rows whose sum is off one by {away:.1e}")
    if bool(masked.any()):
        tally.note(f"{part.base}: {int(masked.sum())} rows have every key masked")
    own = scores.double().softmax(-1).masked_fill(masked.unsqueeze(-1), 0.0).to(pattern.dtype)
    seen = pattern.masked_fill(masked.unsqueeze(-1), 0.0)
    tally.expect(near(own, seen, ONE), name, f"is off the softmax of the scores by {gap(own, seen):.1e}")


def _mixed(subject: Subject, tally: Tally, part: Part, values: Values) -> None:
    pattern, v, z = values["pattern"], values["v"], values["z"]
    groups, rest = divmod(pattern.shape[-3], v.shape[-3])
    tally.expect(
        not rest, part.names["v"], f"has {v.shape[-3]} heads, which do not divide {pattern.shape[-3]}"
    )
    if rest:
        return
    if pattern.shape[-1] == v.shape[-2] + 1:
        pattern = pattern[..., :-1]
        tally.note(f"{part.base}: the pattern has a column that no value is behind (a sink)")
    if pattern.shape[-1] != v.shape[-2]:
        tally.fail(part.names["pattern"], f"has {pattern.shape[-1]} keys for {v.shape[-2]} values")
        return
    if subject.model.training:
        tally.note(
            f"{part.base}: in training mode dropout may stand between pattern and v, so z is not compared"
        )
        return
    own = (pattern.double() @ v.repeat_interleave(groups, -3).double()).to(z.dtype)
    tally.expect(near(own, z, ONE), part.names["z"], f"is off pattern @ v by {gap(own, z):.1e}")


def _chosen(subject: Subject, tally: Tally) -> list[Part]:
    """Return the attentions that are edited one by one."""
    edited = {point.name for point in subject.edited}
    return [part for part in attentions(subject, tally) if part.names["pattern"] in edited]


def reach(subject: Subject, tally: Tally) -> None:
    """One head at one position: its query moves one row of the scores, its key one column, its value one head of z."""
    for part in _chosen(subject, tally):
        watched = [subject.by_name[part.names[key]] for key in ("q", "k", "scores", "pattern", "z")]
        watched += [subject.by_name[part.names["result"]]] if "result" in part.names else []
        try:
            base = part.of(subject.read(watched)[1])
            for key in ("q", "k", "v", "z"):
                _one_edit(subject, tally, part, (key, base, watched))
        except Exception as error:
            tally.fail(part.base, said(error))


def _one_edit(subject: Subject, tally: Tally, part: Part, what: tuple[str, Values, Any]) -> None:
    key, base, watched = what
    name = part.names[key]
    chosen: dict[str, int] = {}

    def edit(value: torch.Tensor, _: Any) -> torch.Tensor:
        chosen.update(heads=value.shape[-2], head=value.shape[-2] - 1, pos=value.shape[-3] // 2)
        new = value.clone()
        new[..., chosen["pos"], chosen["head"], :] += noise(value)[..., chosen["pos"], chosen["head"], :]
        return new

    _, cache = subject.read([point for point in watched if point.name != name], hooks={name: edit})
    seen = part.of(cache)
    groups = base["scores"].shape[-3] // max(chosen["heads"], 1) or 1
    heads = torch.arange(chosen["head"] * groups, (chosen["head"] + 1) * groups)
    for other in REACHES[key]:
        if other not in seen:
            continue
        allowed = _allowed(base[other], (key, other), heads, chosen["pos"])
        after = _level(base[other], seen[other]) if other == "scores" and key in ("q", "k") else seen[other]
        moved = _moved(base[other], after)
        said_of = f"an edit of head {chosen['head']} at position {chosen['pos']} of {name}"
        tally.expect(
            not bool((moved & ~allowed).any()), part.names[other], f"changed beyond what {said_of} reaches"
        )
        if other == REACHES[key][-1] and allowed.any():
            live = bool((moved & allowed).any()) or not _can_move(base, key, chosen["pos"])
            tally.expect(live, part.names[other], f"did not change with {said_of}")


# What is watched when a part is edited; the last must change.
REACHES = {
    "q": ("z", "pattern", "scores"),
    "k": ("z", "scores"),
    "v": ("scores", "pattern", "z"),
    "z": ("scores", "pattern", "result"),
}


def _can_move(base: Values, key: str, position: int) -> bool:
    """Whether an edit at a position can show at all in what is watched.

    A key or value that every query has masked cannot; nor a query with one key alone, nor that key, since what is added
    to a whole row does not count; nor a query where all keys are zero, nor a key where all queries are.
    """
    if key in ("q", "k"):
        seen = base["scores"] > -MASK
        several = seen.sum(-1) > 1
        met = bool(base["k" if key == "q" else "q"].any())
        return met and bool((several[..., position] if key == "q" else several & seen[..., position]).any())
    return key != "v" or bool((base["pattern"][..., position] != 0).any())


def _moved(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return where two values differ, but for rounding: a product of other shape may sum in another order."""
    if same_bits(before, after):
        return torch.zeros_like(before, dtype=torch.bool)
    close = (after - before).abs() <= ONE.get(before.dtype, 0.05) * max(
        magnitude(before), magnitude(after), 1e-3
    )
    return ~((before == after) | close)


def _level(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Take off what was added to a whole row: a softmax does not see it, and some models subtract the largest score."""
    seen = (before > -MASK) & (after > -MASK)
    change = torch.where(seen, after - before, torch.nan).float()
    return after - change.nanmedian(-1, keepdim=True).values.nan_to_num(0.0).to(after.dtype)


def _allowed(value: torch.Tensor, what: tuple[str, str], heads: torch.Tensor, position: int) -> torch.Tensor:
    """Return where an edit of one head at one position may show."""
    allowed = torch.zeros_like(value, dtype=torch.bool)
    key, other = what
    if key == "v" and other in ("scores", "pattern"):
        return allowed
    if key == "z":
        if other == "result":
            allowed[..., heads, position, :] = True
        return allowed
    if key == "q":
        allowed[..., heads, position, :] = True
    elif key == "k" and other == "scores":
        allowed[..., heads, :, position] = True
    else:
        allowed[..., heads, :, :] = True
    return allowed


def uniform(subject: Subject, tally: Tally) -> None:
    """Giving every key the same weight changes the output, unless the weights were as good as the same already."""
    for part in _chosen(subject, tally):
        name = part.names["pattern"]
        try:
            base, _ = subject.read([subject.by_name[name]])
            output = subject.edit({name: lambda value, _: torch.full_like(value, 1 / value.shape[-1])})
        except Exception as error:
            tally.fail(name, said(error))
            continue
        own = subject.values.get(name)
        same = own is not None and bool(((own - 1 / own.shape[-1]).abs() * own.shape[-1] < 1e-4).all())
        moved = bool(differences(base, output))
        if (
            not moved
            and not same
            and not bool(differences(base, subject.edit({part.names["z"]: lambda v, _: v + noise(v)})))
        ):
            tally.note(f"dead end: {name}, as its z is")
            continue
        tally.expect(moved or same, name, "made uniform, the output stays the same")
