"""Attention on an input: the patterns of heads, with where queries and keys lie in what the model was given or made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import RunError
from anylens.core.markup import join, table, tag
from anylens.core.seeding import seeded
from anylens.families.layouts import Layout, Parts, Place, Tokens
from anylens.families.side_by_side import Crossed
from anylens.features.kinds import Behind, Kind, Scene, View, kind_of
from anylens.features.kinds.denoising import Denoising
from anylens.features.kinds.made import Made
from anylens.features.kinds.text import Text, tokenizer_of, words_of
from anylens.features.media import png
from anylens.features.survey import named, place_of
from anylens.lens import Lens
from anylens.pipelines import is_pipeline
from anylens.running.examples import unpack
from anylens.running.step import Step

PATTERNS = "*.hook_pattern"
CROSS = "cross_attn"
NOTHING = Behind()
Visits = list[tuple[Step | None, Tensor]]  # the values of a pattern, with the steps of the run


@dataclass(frozen=True)
class Side:
    """One side of a pattern, its queries or its keys: how the sample is shown, and where each position lies."""

    kind: Kind
    view: View
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Pattern:
    """The pattern of a layer's heads on one sample.

    Attributes:
        name: of the point.
        values: `[step, head, query, key]`; one step where there was one forward.
        queries, keys: what the positions are of.
    """

    name: str
    values: Tensor
    queries: Side
    keys: Side


@dataclass(frozen=True)
class Attention:
    """Patterns on one sample, in the order of the layers."""

    patterns: tuple[Pattern, ...]
    title: str = ""

    def __repr__(self) -> str:
        rows = [f"  {one.name}  step head query key {list(one.values.shape)}" for one in self.patterns]
        return f"Attention in {len(self.patterns)} layers\n" + "\n".join(rows)

    def _repr_html_(self) -> str:
        """Show every head's pattern in a notebook, queries down and keys across, at the first step."""
        style = "width:64px;height:64px;image-rendering:pixelated;margin:2px"
        rows = []
        for one in self.patterns:
            scaled = one.values[0] / one.values[0].amax(-1, keepdim=True).clamp_min(1e-9)
            heads = [
                tag("img", src=png(1 - head).address, style=style, alt=f"{one.name}, head {number}")
                for number, head in enumerate(scaled)
            ]
            rows.append((one.name, join(heads)))
        return table(("layer", "heads: queries down, keys across"), rows)


@torch.no_grad()
def attention(
    lens: Lens,
    given: Any,
    *,
    points: str | Iterable[str] = PATTERNS,
    method: Any = None,
    row: int = 0,
    behind: Behind = NOTHING,
    steps: Any = None,
) -> Attention:
    """Return what heads attend to on one sample of an input.

    A pattern of a generation has a query for each token that was written; one of a denoising has a step for each step.

    Args:
        lens: the lens.
        given: the input, as the model takes it.
        points: patterns, by names or globs.
        method: what is called in place of the model, such as `"generate"`.
        row: the sample of the input.
        behind: what is behind the input, such as the sound that a spectrogram was made of.
        steps: which steps of a denoising are kept, as for `lens.record`; all if none is said.

    Raises RunError if a point is no pattern, `[batch, head, query_pos, key_pos]`.
    """
    args, kwargs = unpack((given,), {}) if not isinstance(given, tuple) else (given, {})
    with seeded(0):
        output, visits = _visits(lens, (args, kwargs), points, method, steps)
    build = _Builder(lens, named((args, kwargs)), output, behind, row)
    return Attention(
        tuple(build.pattern(name, found, whole=method is not None) for name, found in visits.items())
    )


def _visits(lens: Lens, given: Any, points: Any, method: Any, steps: Any) -> tuple[Any, dict[str, Visits]]:
    args, kwargs = given
    names = [point.name for point in lens.points.select(points)]
    for name in names:
        if lens.points[name].axes != ("batch", "head", "query_pos", "key_pos"):
            raise RunError(
                f"{name} is no pattern of attention: its axes are {' '.join(lens.points[name].axes)}."
            )
    if method is None and not is_pipeline(lens.model):
        output, cache = lens.run_with_cache(*args, points=names, **kwargs)
        return output, {name: [(None, cache[name])] for name in names}
    output, found = lens.record(*args, points=names, method=method, steps=steps, **kwargs)
    return output, {name: list(found.items(name)) for name in names}


@dataclass(frozen=True)
class _Builder:
    """Makes patterns of what a run captured."""

    lens: Lens
    given: Mapping[str, Any]
    output: Any
    behind: Behind
    row: int

    def pattern(self, name: str, visits: Visits, *, whole: bool) -> Pattern:
        values = [value[self._row(step)].float().cpu() for step, value in visits]  # [head, query, key] each
        written = whole and len(visits) > 1
        stacked = _joined(values)[None] if written else torch.stack(values)
        words = self._written(visits) if whole else ()
        queries, keys = layouts_of(self.lens, name)
        return Pattern(
            name,
            stacked,
            self._side(name, queries, stacked.shape[2], words),
            self._side(name, keys, stacked.shape[3], words),
        )

    def _row(self, step: Step | None) -> int:
        """Return the sample's row of a step's batch: of rows under guidance, one that follows the prompt."""
        if step is None or step.conditional is None:
            return self.row
        return [place for place, kept in enumerate(step.conditional) if kept][self.row]

    def _written(self, visits: Visits) -> tuple[str, ...]:
        """Return the word that each query of a generation was to write: the token after its own."""
        tokens = [
            step.tokens[self.row].tolist()
            for step, _ in visits
            if step is not None and step.tokens is not None
        ]
        read = [token for some in tokens for token in some]
        out = self.output[self.row].tolist() if isinstance(self.output, Tensor) else []
        ended = not out or read[-len(out) :] == out  # what was written last, an end, is not in the output
        words = words_of([*read[1:], *([] if ended else out[-1:])], tokenizer_of(self.lens.processor))
        return (*words, "(end)") if ended else words

    def _side(self, name: str, layout: Layout | None, count: int, words: tuple[str, ...]) -> Side:
        places = tuple(place_of((number,), (count,), layout) for number in range(count))
        if isinstance(layout, Tokens):
            tokenizer = tokenizer_of(self.lens.processor)
            said = words or self._words(layout.argument(name.partition(".")[0]), count)
            return Side(Text("", tokenizer), View(words=said[:count]), places)
        kind = kind_of(Scene(self.lens, name, self.given, self.behind, layout))
        view = kind.view(self.given, self.output, self.row, self.behind)
        return Side(Made() if isinstance(kind, Denoising) else kind, view, places)

    def _words(self, argument: str, count: int) -> tuple[str, ...]:
        """Return the tokens of an argument, or of a prompt that is padded to so many."""
        tokenizer, prompt = tokenizer_of(self.lens.processor), self.given.get("prompt")
        if isinstance(self.given.get(argument), Tensor):
            return words_of(self.given[argument][self.row].tolist(), tokenizer)
        if prompt is None or tokenizer is None:
            return tuple(f"token {number}" for number in range(count))
        text = prompt if isinstance(prompt, str) else prompt[self.row]
        tokens = tokenizer(text, padding="max_length", max_length=count, truncation=True).input_ids
        return words_of(tokens, tokenizer)


def layouts_of(lens: Lens, name: str) -> tuple[Layout | None, Layout | None]:
    """Return the layouts of a pattern's queries and keys."""
    parts: Mapping[str, Lens] = getattr(lens, "parts", {})
    for path, part in parts.items():
        if name.startswith(f"{path}."):
            return layouts_of(part, name.removeprefix(f"{path}."))
    layout = lens.layout
    if isinstance(layout, Crossed):
        own = layout.own.of(name)
        return own, layout.keys if CROSS in name else own
    if isinstance(layout, Parts):
        own = layout.of(name)
        return own, layout.of(name.replace("decoder.", "encoder.", 1)) if CROSS in name else own
    same = layout.of(name) if layout is not None else None
    return same, same


def _joined(values: list[Tensor]) -> Tensor:
    """Join the queries of a generation's steps; keys that were not there yet have the weight 0."""
    width = max(value.shape[2] for value in values)
    return torch.cat([torch.nn.functional.pad(value, (0, width - value.shape[2])) for value in values], dim=1)
