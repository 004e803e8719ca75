"""Nearest names: what an error offers when somebody asks for a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, candidates: Iterable[str], n: int = 3) -> list[str]:
    """Return at most `n` of the candidates that look most like `name`, the best first, ignoring case.

    A candidate that contains the whole name comes before one that merely resembles it, the shortest first:
    whoever asks for `hook_pattern` is shown `blocks.0.attn.hook_pattern`.
    """
    wanted = name.lower()
    by_lower: dict[str, str] = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), candidate)
    if not wanted:
        return []
    containing = sorted((lower for lower in by_lower if wanted in lower), key=len)[:n]
    if len(containing) < n:
        similar = get_close_matches(wanted, by_lower, n=n, cutoff=0.6)
        containing += [lower for lower in similar if lower not in containing]
    return [by_lower[lower] for lower in containing[:n]]
