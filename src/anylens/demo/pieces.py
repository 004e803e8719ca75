"""Pieces of the demo's page: a curve, tables, and a feature on its inputs."""

from collections.abc import Sequence
from itertools import groupby

from anylens.core.markup import Html, tag
from anylens.demo.shown.shown import address_in
from anylens.demo.story import Story
from anylens.features.known import Example, Known
from anylens.sae.truth import Found

WIDTH, HEIGHT = 640, 150  # of the curve


def curve(points: Sequence[tuple[int, float]]) -> Html:
    """Return the share that was not explained over the steps of the training, as a line."""
    last, top = points[-1][0], max(1.0, *(share for _, share in points))
    path = " ".join(
        f"{'M' if n == 0 else 'L'}{WIDTH * step / last:.1f} {HEIGHT * (1 - share / top):.1f}"
        for n, (step, share) in enumerate(points)
    )
    plot = tag(
        "svg",
        tag("path", d=path, class_="line"),
        viewBox=f"0 -4 {WIDTH} {HEIGHT + 8}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"from {points[0][1]:.2f} at step {points[0][0]} to {points[-1][1]:.2f} at step {last}",
    )
    scale = tag("p", tag("span", f"{top:.0%}"), tag("span", "0%"), class_="scale")
    ends = tag("p", tag("span", "step 0"), tag("span", f"step {last:,}"), class_="ends")
    return tag("div", tag("div", scale, plot, class_="plot"), ends, class_="curve")


def finding_table(story: Story) -> Html:
    """Return a row for every value: the feature that finds it, how well, and the control."""
    lines = []
    for factor, group in groupby(story.found, key=lambda one: one.factor):
        lines.append(tag("tr", tag("th", factor, colspan=4, scope="rowgroup"), class_="group"))
        lines += [
            tag(
                "tr",
                tag("th", story.value(one), scope="row"),
                tag("td", one.feature),
                tag("td", _bar(2 * one.auroc - 1), f"{one.auroc:.2f}", class_="barred"),
                tag("td", f"{one.control:.2f}", class_="control"),
            )
            for one in group
        ]
    return _table(("value", "feature", "AUROC", "shuffled"), lines, "finding")


def steering_table(story: Story) -> Html:
    """Return a row for every value that was steered towards: what changed, by what, and the control."""
    lines = [
        tag(
            "tr",
            tag("th", f"{one.factor}: {story.value(one)}", scope="row"),
            tag("td", one.feature),
            tag("td", f"{one.strength:g}×"),
            tag("td", _bar(one.changed), f"{one.changed:.0%}", class_="barred"),
            tag("td", f"{one.control:.0%}", class_="control"),
            tag("td", f"{one.kept:.0%}"),
            class_="shown" if one is story.pushed else None,
        )
        for one in story.steered
    ]
    head = ("towards", "feature", "strength", "turned", "by random features", "others unchanged")
    return _table(head, lines, "steered")


def _bar(share: float) -> Html:
    return tag("i", style=f"--w:{max(0.0, share):.3f}")


def _table(head: Sequence[str], lines: Sequence[Html], name: str) -> Html:
    titles = tag("thead", tag("tr", *(tag("th", one, scope="col") for one in head)))
    return tag("div", tag("table", titles, tag("tbody", *lines), id=name), class_="scroll")


def chosen_features(found: Sequence[Found], count: int) -> list[Found]:
    """Return the values whose features are shown: the best of each factor in turn, each feature once."""
    by_factor = {
        factor: sorted(group, key=lambda one: -one.auroc)
        for factor, group in groupby(found, key=lambda one: one.factor)
    }
    listed: list[Found] = []
    while len(listed) < count and any(by_factor.values()):
        for rest in by_factor.values():
            used = {one.feature for one in listed}
            free = [one for one in rest if one.feature not in used]
            rest[:] = free[1:]
            listed += free[:1]
    return listed[:count]


def card(story: Story, one: Found) -> Html:
    """Return a feature on the inputs in which it is strongest."""
    known = story.survey[one.feature]
    title = tag("h3", f"Feature {one.feature}", tag("span", f"{one.factor}: {story.value(one)}"))
    note = (
        f"AUROC {one.auroc:.2f}, shuffled {one.control:.2f}. Active in {known.density:.1%} of rows, at most "
        f"{known.top:.3g}."
    )
    examples = [tag("li", _example(known, example)) for example in known.strongest]
    return tag(
        "section",
        title,
        tag("p", note, class_="note"),
        tag("ul", *examples, class_="examples"),
        class_="card",
    )


def _example(known: Known, example: Example) -> Html:
    view, marks = example.sample.view, example.marks(max(known.top, 1e-12))
    shown = known.kind.html(view, marks, address_in(view))
    return tag("figure", shown, tag("figcaption", example.sample.name) if view.media else "")
