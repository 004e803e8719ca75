"""Which architectures are understood: attach to many models, check each, and write the counts down.

    python tools/coverage.py --specimens FOLDER [--only REGEX] [--light] [--jobs N] [--out docs]

FOLDER holds a module `specimens` with `names() -> list[str]` and `build(name)`, which gives an object with `model`,
`inputs` (keyword arguments), `library` and `modality`. Each model runs in a forked process of its own with a time
limit, so that a crash or a hang costs that model alone. A run that was cut off goes on where it was.

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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import anylens
from anylens.conformance import Sampling, check

LIGHT = (
    "names", "read-only", "stand-ins", "fires-once", "as-announced", "stream-sums", "stream-hand-over", "attention",
    "attention-uniform", "edits-of-nothing",
)  # fmt: skip
FEW = Sampling(native=4, ops=4, alone=8, blocks=2)
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


def examine(spec: Any, *, full: bool) -> Row:
    """Attach to one model and check it."""
    start = time.perf_counter()
    lens = anylens.attach(spec.model, spec.inputs)
    row: Row = {
        "attached": True,
        "seconds": round(time.perf_counter() - start, 2),
        "streams": len(lens.anatomy.streams),
        "blocks": has_repeated_blocks(lens),
        "attention": has_attention(lens),
        "patterns": sum(name.endswith("hook_pattern") for name in lens.points.canonical),
    }
    report = check(lens, spec.inputs, checks=None if full else LIGHT, sampling=FEW)
    row["checks"] = {outcome.name: outcome.ok for outcome in report.outcomes}
    row["failed"] = {
        outcome.name: [str(failure)[:240] for failure in outcome.failures[:2]]
        for outcome in report.outcomes
        if not outcome.ok
    }
    return row


def child(folder: str, name: str, full: bool, pipe: Any) -> None:
    """Examine one model in a process of its own, and send what came of it."""
    os.environ["ANYLENS_CACHE"] = os.devnull
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.path.insert(0, folder)
    import specimens

    row: Row = {"name": name, "library": name.partition("/")[0]}
    try:
        spec = specimens.build(name)
        row |= {"modality": spec.modality, "cls": type(spec.model).__name__}
        row |= examine(spec, full=full)
    except BaseException as error:
        row["error"] = f"{type(error).__name__}: {error}"[:400]
        row["trace"] = traceback.format_exc()[-600:]
    pipe.send(row)


def measure(folder: str, names: Iterable[str], *, jobs: int, limit: float, full: bool) -> Iterable[Row]:
    """Yield a row for each name, `jobs` at a time."""
    context = multiprocessing.get_context("fork")
    todo, running = list(names), {}
    while todo or running:
        while todo and len(running) < jobs:
            name = todo.pop(0)
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=child, args=(folder, name, full, theirs))
            process.start()
            theirs.close()
            running[name] = (process, ours, time.monotonic())
        for name, (process, ours, began) in list(running.items()):
            late = time.monotonic() - began > limit
            if not (ours.poll(0.05) or late or not process.is_alive()):
                continue
            row: Row = {
                "name": name,
                "library": name.partition("/")[0],
                "error": "took too long" if late else "died",
            }
            try:
                row = ours.recv() if ours.poll(0) else row
            except EOFError:
                row["error"] = "died"
            process.kill()
            process.join()
            del running[name]
            yield row


def causal(row: Row) -> bool:
    """Whether a model's attention was found and every edit at it changed the output."""
    checks = row.get("checks", {})
    return bool(row["patterns"]) and all(checks.get(name, True) for name in ("attention", "edits"))


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
            share(mine, lambda row: row.get("checks") and all(row["checks"].values())),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "## What does not hold", ""]
    for row in sorted(rows, key=lambda row: row["name"]):
        causes = [row["error"]] if "error" in row else []
        causes += [f"{name}: {'; '.join(said)}" for name, said in row.get("failed", {}).items()]
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
    parser.add_argument("--limit", type=float, default=120, help="seconds a model")
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
            verdict = row.get("error") or ", ".join(row.get("failed", {})) or "ok"
            print(f"{number}/{len(names)} {row['name']}: {verdict}", flush=True)
    Path(given.out, "coverage.md").write_text(page(done, full=not given.light))
    print(f"written: {Path(given.out, 'coverage.md')}")


if __name__ == "__main__":
    main()
