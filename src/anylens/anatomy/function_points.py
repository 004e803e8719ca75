"""The points that stand-ins for functions show, under the block in which the function is called."""

from collections import Counter
from collections.abc import Iterable

from anylens.anatomy.anatomy import FunctionRecord
from anylens.anatomy.draft import Draft
from anylens.anatomy.functions import FunctionCall, Shown
from anylens.anatomy.points import Rule, Tap
from anylens.anatomy.taps import repeats
from anylens.anatomy.trace import Call, Trace
from anylens.core.names import join


def rules(trace: Trace) -> dict[int, Rule]:
    """Return the rule by which each watched call of a function is found again: its count in the module's forward."""
    counts = Counter((one.call, one.key) for one in trace.functions)
    seen: Counter[tuple[int, str]] = Counter()
    found = {}
    for number, one in enumerate(trace.functions):
        place = (one.call, one.key)
        found[number] = Rule(one.key, 0, one.key, seen[place], counts[place])
        seen[place] += 1
    return found


def function_records(trace: Trace) -> Iterable[FunctionRecord]:
    """Return a record for each function with a stand-in that a module's forward calls."""
    places = rules(trace)
    records = (
        FunctionRecord(trace.calls[one.call].path, places[number], one.labels)
        for number, one in enumerate(trace.functions)
    )
    return dict.fromkeys(records)


def add_functions(draft: Draft, base: str, block: Call | None) -> None:
    """Add what the functions called in a block show, or with no block those that are in none."""
    trace, places = draft.trace, rules(draft.trace)
    mine = {
        number: one
        for number, one in enumerate(trace.functions)
        if number not in draft.called and (block is None or trace.within(trace.calls[one.call], block))
    }
    draft.called |= mine.keys()
    total = Counter(one.key for one in mine.values())
    seen: Counter[str] = Counter()
    for number, one in mine.items():
        suffix = f"[{seen[one.key]}]" if block is not None and total[one.key] > 1 else ""
        seen[one.key] += 1
        scope = trace.calls[one.call]
        where = base if block is not None else _place(trace, scope, places[number])
        part = one.key.partition(".")[0] + suffix
        for shown in one.shown:
            _add(draft, join(where, part, f"hook_{shown.site}"), (one, shown), places[number])


def _place(trace: Trace, scope: Call, rule: Rule) -> str:
    """Name what is outside all blocks by the module in whose forward it runs."""
    turn = repeats(trace, scope)[0]
    nth = str(rule.index) if rule.count > 1 else ""
    return join(scope.path, f"calls.{turn}" if turn is not None else "", nth)


def _add(draft: Draft, name: str, what: tuple[FunctionCall, Shown], rule: Rule) -> None:
    one, shown = what
    scope = draft.trace.calls[one.call]
    turn, calls, within = repeats(draft.trace, scope)
    tap = Tap(scope.path, "inside", shown.site, rule, turn, calls, within)
    draft.shown(name, shown, tap)
