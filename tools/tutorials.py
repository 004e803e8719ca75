"""The tutorials: each a script in docs/tutorials, executed from top to bottom and written beside it as a notebook.

    python -m tools.tutorials [NAME ...]

A cell that raises, a failed `assert` among them, fails the run, which names the tutorial and the error. A notebook
holds what its cells show and nothing of the machine: no times, no paths.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials"
MARK = re.compile(r"^# %%(?P<markdown> \[markdown\])?$", re.MULTILINE)
LARGEST_PICTURE = 300 * 1024
"""Bytes of a picture as it stands in the notebook."""

PATIENCE = 600
"""Seconds that a cell may take."""


@dataclass(frozen=True)
class Cell:
    """One cell of a script in the percent format: its kind, `markdown` or `code`, and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class Run:
    """What one tutorial cost: seconds, its pictures, and the bytes of its notebook."""

    name: str
    seconds: float
    pictures: int
    size: int


def scripts(names: Sequence[str] = ()) -> list[Path]:
    """The tutorials of these names, or all; raises SystemExit with those that there are for an unknown one."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise SystemExit(f"no tutorial {', '.join(unknown)}; there are {', '.join(found)}")
    return [found[name] for name in names] if names else list(found.values())


def cells(script: str) -> list[Cell]:
    """The cells of a script: from each line `# %%` or `# %% [markdown]` to the next."""
    marks = [*MARK.finditer(script)]
    if not marks or script[: marks[0].start()].strip():
        raise ValueError("a tutorial begins with a line `# %% [markdown]`")
    ends = [mark.start() for mark in marks[1:]] + [len(script)]
    found = [(mark, script[mark.end() : end].strip("\n")) for mark, end in zip(marks, ends, strict=True)]
    return [
        Cell("markdown", _prose(text)) if mark["markdown"] else Cell("code", text) for mark, text in found
    ]


def _prose(text: str) -> str:
    lines = text.splitlines()
    code = [line for line in lines if not line.startswith("#")]
    if code:
        raise ValueError(f"a markdown cell holds comments only, and this line is none: {code[0]!r}")
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def notebook(script: str) -> dict[str, Any]:
    """A notebook of a script's cells, not executed: JSON of nbformat 4.5."""
    made = []
    for number, cell in enumerate(cells(script)):
        made.append({"id": f"cell-{number}", "cell_type": cell.kind, "metadata": {}, "source": cell.text})
        if cell.kind == "code":
            made[-1] |= {"outputs": [], "execution_count": None}
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def execute(path: Path) -> Run:
    """Run one tutorial in a folder that is then gone, and write its notebook beside it."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.from_dict(notebook(path.read_text(encoding="utf-8")))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        quiet = {"record_timing": False, "extra_arguments": ["--log-level=ERROR"]}
        NotebookClient(book, timeout=PATIENCE, kernel_name="python3", resources=where, **quiet).execute()
    seconds = time.perf_counter() - began
    book.metadata = notebook("# %%")["metadata"]  # the client adds the version of Python
    for cell in book.cells:
        cell.metadata = {}
    text = json.dumps(book, indent=1, ensure_ascii=False) + "\n"
    heavy = [size for size in pictures(book) if size > LARGEST_PICTURE]
    if heavy:
        raise SystemExit(
            f"{path.stem}: a picture of {max(heavy) // 1024} KB; make it smaller than {LARGEST_PICTURE // 1024} KB"
        )
    path.with_suffix(".ipynb").write_text(text, encoding="utf-8")
    return Run(path.stem, seconds, len(list(pictures(book))), len(text))


def pictures(book: Any) -> Iterator[int]:
    """The size of each picture in a notebook, in bytes of its text."""
    for cell in book["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield len(output["data"]["image/png"])


def main() -> None:
    """Execute the tutorials named, or all, and print what each cost."""
    parser = argparse.ArgumentParser(prog="python -m tools.tutorials", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="the tutorials to execute; all if none is named"
    )
    chosen = scripts(parser.parse_args().names)
    os.environ.pop("MPLBACKEND", None)  # pictures go into the notebook
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm asks for a library of Jupyter's
    with tempfile.TemporaryDirectory() as settings:
        os.environ["IPYTHONDIR"] = settings
        failed = [path.stem for path in chosen if not _reported(path)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _reported(path: Path) -> bool:
    """Execute one tutorial and say how it went; False if a cell raised."""
    from nbclient.exceptions import CellExecutionError

    print(f"{path.stem:28s}", end="", flush=True)
    try:
        run = execute(path)
    except CellExecutionError as error:
        print(f"failed\n{error}")
        return False
    print(f"{run.seconds:6.1f} s  {run.pictures} pictures  {run.size // 1024:5d} KB")
    return True


if __name__ == "__main__":
    main()
