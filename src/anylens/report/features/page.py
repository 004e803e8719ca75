"""The features of an autoencoder as a page: a folder that opens without a server, or one file that holds all."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from anylens.core import __version__
from anylens.core.errors import StoreError
from anylens.core.optional import require
from anylens.features import Known, Survey
from anylens.features.kinds.picture import FILE
from anylens.features.media import Media
from anylens.report.features.feature import effect_name, facts_html, more_html
from anylens.report.features.index import COLUMNS, order_of, row_of
from anylens.report.features.records import Records

PAGE = "index.html"
SIZES = {
    "samples": 24,
    "thumbs": 80,
    "features": 40,
}  # how many stand together in a piece that the page loads
STYLES = (("anylens.features", "fragments.css"), ("anylens.report.features", "page.css"))
SCRIPTS = ("chunks.js", "samples.js", "sounds.js", "table.js", "page.js")


def features_page(survey: Survey, to: Path | str, *, one_file: bool = False, title: str = "") -> Path:
    """Write the features of a survey as a page, and return the file to open.

    The page works without a server and offline: nothing is fetched but its own files beside it.

    Args:
        survey: of `anylens.features.survey`.
        to: a folder, made if it is not there; with `one_file` the file itself, if it ends in `.html`.
        one_file: put everything into one file. Folders open faster where there are thousands of features or sounds.
        title: of the page.

    Raises:
        MissingExtraError: jinja2 is not installed.
        StoreError: the folder cannot be written to.
    """
    records = Records(survey)
    chunks, media = dict(chunks_of(survey, records)), dict(media_of(survey, records))
    file = Path(to) if one_file and str(to).endswith(".html") else Path(to) / PAGE
    title = title or f"Features of {survey.facts.get('model', 'a model')}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if one_file:
            text = render(survey, title, chunks=chunks, media=media)
        else:
            text = render(survey, title, chunks={"index": chunks.pop("index")}, media={})
            _write_beside(file.parent, chunks, media)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The page cannot be written to {file.parent}: {error}.") from error
    return file


def _write_beside(folder: Path, chunks: Mapping[str, Any], media: Mapping[str, Media]) -> None:
    for place in ("data", "media"):
        (folder / place).mkdir(exist_ok=True)
    for name, content in chunks.items():
        text = f"anylens.put({json.dumps(name)}, {in_script(content)});\n"
        (folder / "data" / f"{name}.js").write_text(text, encoding="utf-8")
    for name, one in media.items():
        (folder / name).write_bytes(one.content)


def chunks_of(survey: Survey, records: Records) -> Iterator[tuple[str, Any]]:
    """Yield what the page loads when it is needed, by name: samples, features for the index and in full, the index."""
    rows: list[Any] = []
    thumbs: dict[int, Any] = {}
    features: dict[int, Any] = {}
    for number in order_of(survey):
        known = survey[number]
        rows.append(row_of(known))
        thumbs[number], features[number] = records.thumbs(known), _feature(survey, records, known)
    for place, samples in enumerate(_parts(records.samples, SIZES["samples"])):
        yield f"samples-{place}", [records.sample(one) for one in samples]
    for name, found in (("thumbs", thumbs), ("features", features)):
        for place, numbers in enumerate(_parts(list(found), SIZES[name])):
            yield f"{name}-{place}", {number: found[number] for number in numbers}
    names = {"kind": type(survey.kind).__name__.lower(), "sizes": SIZES}
    yield "index", {"columns": COLUMNS, "rows": rows, **names}


def _feature(survey: Survey, records: Records, known: Known) -> dict[str, Any]:
    return {**records.feature(known), "facts": facts_html(known), "more": more_html(survey, known)}


def _parts(listed: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (listed[start : start + size] for start in range(0, len(listed), size))


def media_of(survey: Survey, records: Records) -> Iterator[tuple[str, Media]]:
    """Yield the pictures and sounds by the names that the page calls them."""
    for sample in records.samples:
        for name, one in sample.view.media.items():
            yield records.media_name(sample, name), one
    for number, effect in survey.effects.items():
        for place, pair in enumerate(effect.pairs):
            for side, view in enumerate(pair):
                if FILE in view.media:
                    yield effect_name(number, place, side), view.media[FILE]


def render(survey: Survey, title: str, *, chunks: Mapping[str, Any], media: Mapping[str, Media]) -> str:
    """Return the page as HTML, with some chunks and media in it."""
    jinja = require("jinja2", extra="report")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    here = files("anylens.report.features")
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    page: str = template.render(
        title=title,
        survey=survey,
        alive=len(survey.alive),
        truth=bool(survey.factors),
        style="\n".join((files(p) / name).read_text(encoding="utf-8") for p, name in STYLES),
        scripts=[(here / name).read_text(encoding="utf-8") for name in SCRIPTS],
        chunks={name: in_script(content) for name, content in chunks.items()},
        media={name: one.address for name, one in media.items()},
        version=__version__,
    )
    return page


def in_script(content: Any) -> str:
    """Return JSON that can stand inside a script element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
