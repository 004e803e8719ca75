"""Points by name: exact names, globs, and the reason why a canonical point is not there."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.canonical import TABLE
from anylens.anatomy.native import module_points, op_points
from anylens.anatomy.points import Point
from anylens.anatomy.show import as_html, as_text
from anylens.core.errors import AbsentPointError, PointError, UnknownPointError
from anylens.core.names import split_block


def is_glob(name: str) -> bool:
    """Whether a name stands for several: `*` is any text, `?` any one character; brackets are themselves."""
    return "*" in name or "?" in name


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob over the names of points."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(mark, re.escape(mark)) for mark in pattern))


def _names(patterns: Any) -> tuple[str, ...]:
    """Return names and globs as a tuple; a point stands for its name."""
    listed = tuple(patterns) if isinstance(patterns, Iterable) else (patterns,)
    names = tuple(one.name if isinstance(one, Point) else one for one in listed)
    for name in names:
        if not isinstance(name, str):
            raise PointError(
                f"points takes a name, a glob or several of them, and was given {name!r}. lens.points lists the names."
            )
    return names


class Points(Mapping[str, Point]):
    """The points of a lens by name.

    Iterating gives the canonical and the native points. Those of single operations, of which there are many, are
    found by name or by a glob that has `.op.` in it.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        aliases: Mapping[str, str] | None = None,
        *,
        home: str = "",
        more: Iterable[Point] = (),
    ) -> None:
        self.anatomy = anatomy
        self.more = tuple(more)  # points that are not the model's own: inside what was spliced in
        self.aliases = dict(aliases or {})
        self.home = home  # the part in which names without a part are looked for as well
        self._groups: dict[tuple[str, ...], tuple[Point, ...]] = {}

    @cached_property
    def canonical(self) -> dict[str, Point]:
        """The points that carry a name of the canonical table, and those inside what was spliced in."""
        return {point.name: point for point in (*self.anatomy.canonical, *self.more)}

    @cached_property
    def native(self) -> dict[str, Point]:
        """The inputs and outputs of every module that was called."""
        return {point.name: point for record in self.anatomy.modules for point in module_points(record)}

    @cached_property
    def ops(self) -> dict[str, Point]:
        """The operands and results of every operation."""
        return {point.name: point for record in self.anatomy.ops for point in op_points(record)}

    def __getitem__(self, name: str) -> Point:
        stands_for = self.aliases.get(name, name)
        found = self._exact(stands_for)
        if found is None and self.home:
            at_home = f"{self.home}.{name}"
            found = self._exact(self.aliases.get(at_home, at_home))
        if found is None:
            raise self._missing(stands_for)
        return found

    @cached_property
    def several(self) -> frozenset[str]:
        """The names that stand for each call of a module called several times: in a forward they have no one value.

        They are found by their exact names. Globs find each call's own, `<path>.calls.0.hook_out`, and only where
        there is nothing else the plain name.
        """
        many = {record.path for record in self.anatomy.modules if record.calls > 1}
        return frozenset(name for name, p in self.native.items() if p.tap.turn is None and p.tap.path in many)

    def __iter__(self) -> Iterator[str]:
        return (name for name in {**self.canonical, **self.native} if name not in self.several)

    def __len__(self) -> int:
        return len({*self.canonical, *self.native} - self.several)

    def _exact(self, name: str) -> Point | None:
        found = self.canonical.get(name) or self.native.get(name)
        return found or (self.ops.get(name) if ".op." in f".{name}" else None)

    def find(self, pattern: str) -> list[Point]:
        """Return the points that a name or a glob stands for.

        Raises:
            UnknownPointError: nothing has that name or matches it; the nearest names are listed.
            AbsentPointError: the name is canonical, and this model has no such point; the message says why.
        """
        pattern = self.aliases.get(pattern, pattern)
        if not is_glob(pattern):
            return [self[pattern]]
        matches = glob(pattern).fullmatch
        pools = [self.ops] if ".op." in f".{pattern}" else [self.canonical, self.native]
        found = {name: point for pool in pools for name, point in pool.items() if matches(name)}
        found = {name: point for name, point in found.items() if name not in self.several} or found
        for alias, name in self.aliases.items():
            if matches(alias):
                with suppress(PointError):  # an alias for what this model lacks
                    found |= {point.name: point for point in self.find(name)}
        if not found and self.home and not pattern.startswith(f"{self.home}."):
            return self.find(f"{self.home}.{pattern}")
        if not found:
            raise self._missing(pattern)
        return list(found.values())

    def select(self, patterns: str | Point | Iterable[str | Point]) -> tuple[Point, ...]:
        """Return the points that names and globs stand for, each once, in the order asked for.

        Raises PointError for what is neither a name nor several.
        """
        wanted = (patterns,) if isinstance(patterns, str) else _names(patterns)
        if wanted not in self._groups:
            found = {point.name: point for pattern in wanted for point in self.find(pattern)}
            self._groups[wanted] = tuple(found.values())
        return self._groups[wanted]

    def why_absent(self, name: str) -> str:
        """Return why this model lacks a canonical point, or nothing where the name is not canonical."""
        prefixes = [stream.prefix for stream in self.anatomy.streams] or [""]
        matches = glob(name).fullmatch
        for known, why in self.anatomy.absent:
            if matches(known):
                return why
        for prefix in prefixes:
            bare = name[len(prefix) + 1 :] if prefix and name.startswith(f"{prefix}.") else name
            for row in TABLE:
                if re.fullmatch(re.escape(row.name).replace(r"\{i\}", r"(\d+|\*)"), bare) and self._in_range(
                    name
                ):
                    return row.lacking
        return ""

    def _in_range(self, name: str) -> bool:
        """Whether a name speaks of a block that there is."""
        found = split_block(name)
        longest = max((len(stream.blocks) for stream in self.anatomy.streams), default=0)
        return found is None or found[1] < longest or not longest

    def _missing(self, name: str) -> UnknownPointError | AbsentPointError:
        why = self.why_absent(name)
        if why:
            return AbsentPointError.because(name, why)
        pool = [*self.aliases, *self.canonical, *self.native]
        return UnknownPointError.among(name, [*self.ops] if ".op." in name else pool)

    def __repr__(self) -> str:
        return as_text(self.anatomy, [*self.canonical.values()], [*self.native.values()])

    def _repr_html_(self) -> str:
        return as_html(self.anatomy, [*self.canonical.values()], [*self.native.values()])
