"""Which architectures are understood: attach to many models, check each, and write the counts down.

    python tools/coverage.py --specimens FOLDER [--only REGEX] [--light] [--jobs N] [--out docs]

FOLDER holds a module `specimens` with `names() -> list[str]` and `build(name)`, which gives an object with `model`,
`inputs` (keyword arguments), `library` and `modality`. Each model runs in a forked process of its own with a time
limit, so that a crash or a hang costs that model alone. A run that was cut off goes on where it was.

Some models begin with weights of zero or 1e-10, for training to grow: what goes through such a map is below the
rounding of what it is added to, and no edit could show. Weights all below `FAINT` are drawn anew, and the page says so.

Every check of the conformance kit runs; of the points that are edited one by one, a few are taken (`FEW`).
"""

import argparse
import json
import multiprocessing
import os
import re
import sys
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import anylens
from anylens.conformance import CHECKS, Outcome, Sampling, check

LIGHT = (
    "names", "read-only", "stand-ins", "fires-once", "as-announced", "stream-sums", "stream-hand-over", "attention",
    "attention-uniform", "edits-of-nothing",
)  # fmt: skip
FEW = Sampling(native=4, ops=4, alone=8, blocks=2)
FAINT, LIVELY = 1e-6, 0.02  # the largest of weights that are drawn anew, and their new standard deviation
ATTENTION = re.compile(r"hook_(q|k|v|z|attn_scores|pattern|result)$")
CAUSES = Path(__file__).with_name("coverage_causes.md")
Row = dict[str, Any]


def has_repeated_blocks(lens: anylens.Lens) -> bool:
    """Whether some list holds two modules of one class that have parts of their own and were both called."""
    kinds: dict[tuple[str, str], int] = defaultdict(int)
    paths = {record.path for record in lens.anatomy.modules}
    parents = {path.rpartition(".")[0] for path in paths}
    for record in lens.anatomy.modules:
        holder, _, last = record.path.rpartition(".")
        if last.isdigit() and record.path in parents:
            kinds[holder, record.kind] += 1
    return any(count > 1 for count in kinds.values())


def has_attention(lens: anylens.Lens) -> bool:
    """Whether a module that ran is called an attention."""
    return any(re.search(r"Attention|Attn", record.kind) for record in lens.anatomy.modules)


def enliven(model: torch.nn.Module) -> int:
    """Draw weights anew that are too small for anything to go through them; return how many there are."""
    faint = [
        weight
        for weight in model.parameters()
        if weight.dim() > 1 and weight.numel() and float(weight.abs().max()) < FAINT
    ]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in faint:
            weight.copy_(LIVELY * torch.randn(weight.shape, generator=generator))
    return len(faint)


class OutOfTime(Exception):
    """The checks of one model took longer than they may."""


def examine(spec: Any, row: Row, tell: Callable[[Row], None], *, full: bool, limit: float) -> None:
    """Attach to one model and check it, until `limit` seconds of the processor are spent; tell what is known so far."""
    start = time.perf_counter()
    lens = anylens.attach(spec.model, spec.inputs)
    row |= {
        "attached": True,
        "seconds": round(time.perf_counter() - start, 2),
        "streams": len(lens.anatomy.streams),
        "blocks": has_repeated_blocks(lens),
        "attention": has_attention(lens),
        "patterns": sum(name.endswith("hook_pattern") for name in lens.points.canonical),
    }
    row |= {"checks": {}, "failed": {}}
    wanted = [one.name for one in CHECKS] if full else list(LIGHT)
    tell({**row, "skipped": wanted})

    def keep(outcome: Outcome) -> None:
        row["checks"][outcome.name] = outcome.ok
        if outcome.name == "edits":
            row["inert"] = [one.point for one in outcome.failures if ATTENTION.search(one.point)]
        if not outcome.ok:
            row["failed"][outcome.name] = [str(failure)[:240] for failure in outcome.failures[:2]]
        tell({**row, "skipped": [name for name in wanted if name not in row["checks"]]})
        if time.process_time() > limit:
            raise OutOfTime

    with suppress(OutOfTime):
        check(lens, spec.inputs, checks=wanted, sampling=FEW, progress=keep)
    row["skipped"] = [name for name in wanted if name not in row["checks"]]


def child(folder: str, name: str, full: bool, limit: float, pipe: Any) -> None:
    """Examine one model in a process of its own, and send what came of it."""
    os.environ["ANYLENS_CACHE"] = os.devnull
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.path.insert(0, folder)
    import specimens

    row: Row = {"name": name, "library": name.partition("/")[0]}
    try:
        spec = specimens.build(name)
        row |= {"modality": spec.modality, "cls": type(spec.model).__name__, "enlivened": enliven(spec.model)}
        examine(spec, row, pipe.send, full=full, limit=limit)
    except BaseException as error:
        row["error"] = f"{type(error).__name__}: {error}"[:400]
        row["trace"] = traceback.format_exc()[-600:]
    pipe.send(row)


def warm(names: Iterable[str]) -> None:
    """Build the first model of each library, so that what that imports is there already in the forked processes."""
    import specimens

    torch.set_num_threads(1)
    firsts = {name.partition("/")[0]: name for name in reversed(list(names))}
    for name in firsts.values():
        with suppress(Exception):
            specimens.build(name)


def measure(folder: str, names: Iterable[str], *, jobs: int, limit: float, full: bool) -> Iterable[Row]:
    """Yield a row for each name, `jobs` at a time; a model that hangs is left after ten times its limit."""
    context = multiprocessing.get_context("fork")
    todo = list(names)
    warm(todo)
    running: dict[str, Any] = {}
    while todo or running:
        while todo and len(running) < jobs:
            name = todo.pop(0)
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=child, args=(folder, name, full, limit, theirs))
            process.start()
            theirs.close()
            begun: Row = {"name": name, "library": name.partition("/")[0]}
            running[name] = (process, ours, time.monotonic(), begun)
        for name, (process, ours, began, row) in list(running.items()):
            try:
                while ours.poll(0.05):
                    row |= ours.recv()
            except EOFError:
                process.join()
            late = time.monotonic() - began > 10 * limit
            if process.is_alive() and not late:
                continue
            if process.exitcode != 0:
                row["error"] = row.get("error") or ("hung" if late else "died")
            process.kill()
            process.join()
            del running[name]
            yield row


def causal(row: Row) -> bool:
    """Whether a model's attention was found, its equations hold, and every edit within it changed the output."""
    checks = row.get("checks", {})
    inert = row.get("inert", [] if checks.get("edits", True) else ["unknown"])
    return bool(row["patterns"]) and checks.get("attention", True) and not inert


def share(rows: list[Row], keep: Any) -> str:
    """Write how many of some rows hold."""
    held = sum(bool(keep(row)) for row in rows)
    return f"{held} of {len(rows)}" + (f" ({held / len(rows):.1%})" if rows else "")


def page(rows: list[Row], *, full: bool) -> str:
    """Write the counts and each failure as a page."""
    lines = [
        "# Coverage",
        "",
        "Made by `make coverage SPECIMENS=FOLDER`: tiny random models of many architectures.",
        "",
    ]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["library"]].append(row)
        groups[f"{row['library']}, {row.get('modality', 'unknown')}"].append(row)
    groups["all"] = rows
    head = [
        "models",
        "attach",
        "output bit for bit",
        "streams, of those with blocks",
        "attention, of those that have some, with edits that act",
    ]
    head.append("all checks" if full else "light checks")
    lines += ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name in sorted(groups, key=lambda name: (name != "all", name)):
        mine = groups[name]
        cells = [
            str(len(mine)),
            share(mine, lambda row: row.get("attached")),
            share(mine, lambda row: row.get("checks", {}).get("read-only")),
            share([row for row in mine if row.get("blocks")], lambda row: row["streams"]),
            share([row for row in mine if row.get("attention")], causal),
            share(
                mine, lambda row: row.get("checks") and all(row["checks"].values()) and not row.get("skipped")
            ),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", CAUSES.read_text(encoding="utf-8"), "## What does not hold", ""]
    for row in sorted(rows, key=lambda row: row["name"]):
        causes = [row["error"]] if "error" in row else []
        causes += [f"{name}: {'; '.join(said)}" for name, said in row.get("failed", {}).items()]
        skipped = row.get("skipped")
        causes += [f"not checked, for time: {', '.join(skipped)}"] if skipped else []
        causes += ["no stream"] if row.get("blocks") and not row.get("streams") else []
        causes += ["no pattern"] if row.get("attention") and not row.get("patterns") else []
        lines += (
            [f"- `{row['name']}`: " + " ".join(cause.replace("\n", " ") for cause in causes)]
            if causes
            else []
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write `coverage.jsonl` and `coverage.md`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--specimens", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--light", action="store_true", help="a third of the checks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=float, default=60, help="seconds of the processor a model")
    parser.add_argument("--out", default="docs")
    given = parser.parse_args()
    if not (Path(given.specimens) / "specimens.py").is_file():
        parser.error(f"{given.specimens!r} holds no specimens.py. Run: make coverage SPECIMENS=FOLDER")
    sys.path.insert(0, given.specimens)
    import specimens

    log = Path(given.out) / "coverage.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    seen = {row["name"] for row in done}
    names = [name for name in specimens.names() if re.search(given.only, name) and name not in seen]
    with log.open("a") as file:
        for number, row in enumerate(
            measure(given.specimens, names, jobs=given.jobs, limit=given.limit, full=not given.light), 1
        ):
            done.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            late = f" ({len(row['skipped'])} skipped)" if row.get("skipped") else ""
            verdict = (row.get("error") or ", ".join(row.get("failed", {})) or "ok") + late
            print(f"{number}/{len(names)} {row['name']}: {verdict}", flush=True)
    Path(given.out, "coverage.md").write_text(page(done, full=not given.light))
    print(f"written: {Path(given.out, 'coverage.md')}")


if __name__ == "__main__":
    main()
