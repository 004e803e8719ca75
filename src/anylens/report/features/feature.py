"""The page of one feature: what is known of it, as HTML."""

from anylens.core.markup import Html, join, tag
from anylens.features import Known, Survey
from anylens.features.effect import Effect
from anylens.features.kinds import View
from anylens.features.kinds.picture import FILE
from anylens.features.tally import Histogram

WIDTH, HEIGHT = 320, 110  # of the histogram


def facts_html(known: Known) -> Html:
    """Return what stands above a feature's examples."""
    facts = [
        ("active in", f"{known.density:.2%} of rows"),
        ("strongest", f"{known.top:.3g}"),
        ("mean when active", f"{known.mean:.3g}"),
    ]
    if known.factor:
        found = known.factor
        facts.append(("finds best", f"{found}, AUROC {found.auroc:.2f} (shuffled {found.control:.2f})"))
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", said)) for name, said in facts), class_="facts")


def more_html(survey: Survey, known: Known) -> Html:
    """Return what stands below a feature's examples."""
    parts = [_histogram(known.histogram), _near(known), _code(survey, known)]
    if known.effect:
        parts.insert(0, _effect(known, known.effect))
    return join(parts)


def _histogram(found: Histogram) -> Html:
    """Return bars whose heights are the square roots of counts, so that rare strong activations show."""
    most = max(found.counts, default=0) ** 0.5 or 1.0
    step = WIDTH / max(len(found.counts), 1)
    bars = [
        tag(
            "rect",
            x=place * step,
            y=HEIGHT - HEIGHT * count**0.5 / most,
            width=max(step - 1, 0.5),
            height=HEIGHT * count**0.5 / most,
            class_="bar",
        )
        for place, count in enumerate(found.counts)
    ]
    plot = tag(
        "svg",
        *bars,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"histogram of activations up to {found.top:.2f}",
        class_="histogram",
    )
    ends = tag("p", tag("span", "0"), tag("span", f"{found.top:.2f}"), class_="ends")
    note = tag(
        "p", f"{sum(found.counts):,} rows in which it is active; heights are square roots.", class_="al-note"
    )
    return tag("section", tag("h2", "Activations"), plot, ends, note)


def _effect(known: Known, effect: Effect) -> Html:
    told = f"With {effect.strength:.3g} of it added at every position, {effect.told}."
    parts = [tag("h2", "Effect on the output"), tag("p", told)]
    if effect.raised or effect.lowered:
        parts.append(_changes(effect))
    if effect.pairs:
        parts.append(_pairs(known, effect))
    return tag("section", *parts, class_="effect")


def _changes(effect: Effect) -> Html:
    """Return the classes or words that were raised and lowered, as bars."""
    listed = [*effect.raised, *reversed(effect.lowered)]
    most = max(abs(value) for _, value in listed)
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", f"{value:+.2f}"),
            tag("td", tag("i", class_="up" if value > 0 else "down", style=f"--w:{abs(value) / most:.3f}")),
        )
        for name, value in listed
    ]
    caption = tag("caption", "mean change of the logit")
    return tag("table", caption, tag("tbody", *rows), class_="changes")


def _pairs(known: Known, effect: Effect) -> Html:
    """Return outputs before and after, side by side."""
    listed = []
    for place, pair in enumerate(effect.pairs):
        sides = [_side(view, effect_name(known.number, place, side)) for side, view in enumerate(pair)]
        listed.append(tag("li", sides[0], tag("span", "→", aria_label="becomes"), sides[1]))
    return tag("ul", *listed, class_="pairs")


def effect_name(feature: int, place: int, side: int) -> str:
    """Return where a page finds an output before (0) or after (1) steering; those before are all features' own."""
    return f"media/effect-{place}.png" if side == 0 else f"media/effect-{feature}-{place}.png"


def _side(view: View, name: str) -> Html:
    if FILE in view.media:
        return tag("img", src=name, alt="picture", class_="al-image")
    return tag("q", " ".join(view.words) or "(nothing)")


def _near(known: Known) -> Html:
    listed = [
        tag("li", tag("a", f"feature {number}", href=f"#/feature/{number}"), tag("span", f"{cosine:.2f}"))
        for number, cosine in known.near
    ]
    return tag(
        "section",
        tag("h2", "Nearest features ", tag("small", "cosine of decoder directions")),
        tag("ul", *listed, class_="near"),
    )


def _code(survey: Survey, known: Known) -> Html:
    lines = (
        f'point = "{survey.point}"\n'
        f"steered = anylens.steer(sae.feature({known.number}), {max(known.top, 1.0):.3g})\n"
        "output = lens.run_with_hooks(inputs, hooks={point: steered})"
    )
    return tag("section", tag("h2", "Steer with it"), tag("pre", tag("code", lines)), class_="wide")
