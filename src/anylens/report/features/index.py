"""The index of a survey's features, as columns that a page sorts and searches."""

from typing import Any

from anylens.features import Known, Survey

COLUMNS = ("number", "density", "top", "mean", "effect", "auroc", "control")
SHOWN_NAMES = 3  # examples whose names a search finds


def order_of(survey: Survey) -> list[int]:
    """Return the features in the order of the index: active most often first, the inactive last."""
    active = survey.tally.active.tolist()
    return sorted(survey, key=lambda number: (-active[number], number))


def row_of(known: Known) -> list[Any]:
    """Return a feature's row.

    The numbers of `COLUMNS` (None where one was not measured), the factor value that the feature finds, and the words
    that a search looks in.
    """
    factor, effect = known.factor, known.effect
    numbers = (
        known.density,
        known.top,
        known.mean,
        effect.size if effect else None,
        factor.auroc if factor else None,
        factor.control if factor else None,
    )
    said = [example.sample.name for example in known.strongest[:SHOWN_NAMES]]
    said += [name for name, _ in (*effect.raised, *effect.lowered)] if effect else []
    return [known.number, *map(rounded, numbers), str(factor or ""), " ".join(said)]


def rounded(value: float | None) -> float | None:
    """Return a number with four significant digits."""
    return None if value is None else float(f"{value:.4g}")
