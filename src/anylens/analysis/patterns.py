"""What a pattern of attention looks like: scores for known types of heads, how wide and how far a head looks.

A score is a function from a pattern, `[batch, head, query_pos, key_pos]`, to one number for each head, `[batch, head]`.
`analysis.heads` takes them over a lens. Where queries are fewer than keys, as in a generation with a cache, they are
taken for the last ones.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anylens.core.errors import ShapeError

Pattern = Float[Tensor, "batch head query_pos key_pos"]
Score = Callable[[Pattern], Float[Tensor, "batch head"]]


def mass_on(wanted: Bool[Tensor, "#batch #query_pos key_pos"]) -> Score:
    """Score how much of a head's attention goes to some keys, as a mean over the queries that have any to go to.

    `wanted` is `[key_pos]`, `[query_pos, key_pos]` or `[batch, query_pos, key_pos]`; all scores of head types but the
    diagonal are this one. Scoring raises ShapeError where it does not fit the pattern's positions.

    >>> pattern = torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    >>> mass_on(torch.tensor([True, False]))(pattern).item()
    0.625
    """

    def score(pattern: Pattern) -> Tensor:
        mask = _fitted(wanted, torch.Size([len(pattern), *pattern.shape[2:]])).to(pattern.device)
        queries = mask.any(-1).unsqueeze(1)
        on = (pattern * mask.unsqueeze(1)).sum(-1) * queries
        found: Tensor = on.sum(-1) / queries.sum(-1).clamp(min=1)
        return found

    return score


def background(mask: Bool[Tensor, "batch key_pos"]) -> Score:
    """Score how much goes to some positions of each row's input, such as the patches without the object.

    >>> pattern = torch.full((1, 1, 3, 3), 1 / 3)
    >>> round(background(torch.tensor([[False, True, True]]))(pattern).item(), 3)
    0.667
    """
    return mass_on(mask.unsqueeze(1))


def previous_token(back: int = 1) -> Score:
    """Score how much goes to the position before the query, or `back` positions before it.

    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    >>> previous_token()(torch.eye(4).roll(-1, 1).reshape(1, 1, 4, 4)).item()
    1.0
    """

    def score(pattern: Pattern) -> Tensor:
        apart = _positions(pattern)[:, None] - torch.arange(pattern.shape[-1], device=pattern.device)
        return mass_on(apart == back)(pattern)

    return score


def duplicate_token(tokens: Int[Tensor, "batch key_pos"]) -> Score:
    """Score how much goes to earlier occurrences of the query's own token, over queries that have one.

    (Wang et al. 2022, https://arxiv.org/abs/2211.00593.)

    >>> tokens = torch.tensor([[5, 6, 5]])
    >>> pattern = torch.tensor([[[[1.0, 0, 0], [0.5, 0.5, 0], [0.75, 0.25, 0]]]])
    >>> duplicate_token(tokens)(pattern).item()
    0.75
    """
    return _by_token(tokens, shift=0)


def induction(tokens: Int[Tensor, "batch key_pos"]) -> Score:
    """Score how much goes to what followed earlier occurrences of the query's token, over queries that have one.

    (Olsson et al. 2022, "In-context Learning and Induction Heads", https://arxiv.org/abs/2209.11895.)

    >>> tokens = torch.tensor([[5, 6, 5]])
    >>> pattern = torch.tensor([[[[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.75, 0]]]])
    >>> induction(tokens)(pattern).item()
    0.75
    """
    return _by_token(tokens, shift=1)


def _by_token(tokens: Int[Tensor, "batch key_pos"], *, shift: int) -> Score:
    """Score what goes to the position `shift` behind an earlier occurrence of the query's token."""

    def score(pattern: Pattern) -> Tensor:
        if tokens.shape != (len(pattern), pattern.shape[-1]):
            raise ShapeError(
                f"A pattern with keys {[len(pattern), pattern.shape[-1]]} needs as many tokens, and was given "
                f"{list(tokens.shape)}."
            )
        ids, queries = tokens.to(pattern.device), _positions(pattern)
        keys = torch.arange(pattern.shape[-1], device=pattern.device)
        alike = ids[:, queries, None] == ids.roll(shift, 1)[:, None, :]
        return mass_on(alike & (keys >= shift) & (keys < queries[:, None] + shift))(pattern)

    return score


def entropy() -> Score:
    """Score how wide a head looks: the entropy of its attention in nats, as a mean over queries.

    (Clark et al. 2019, "What Does BERT Look At?", https://arxiv.org/abs/1906.04341.)

    >>> round(entropy()(torch.full((1, 1, 2, 4), 0.25)).exp().item(), 4)
    4.0
    """
    return lambda pattern: -torch.xlogy(pattern, pattern).sum(-1).mean(-1)


def mean_distance(cells: Float[Tensor, "pos 2"] | None = None) -> Score:
    """Score how far a head looks, as a mean over queries: in positions, or in cells of a picture where these are given.

    (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", https://arxiv.org/abs/2010.11929, figure 7.)

    >>> mean_distance()(torch.eye(4).roll(-1, 1)[1:].reshape(1, 1, 3, 4)).item()
    1.0
    """

    def score(pattern: Pattern) -> Tensor:
        keys = torch.arange(pattern.shape[-1], device=pattern.device)
        if cells is None:
            return (pattern * (_positions(pattern)[:, None] - keys).abs()).sum(-1).mean(-1)
        if len(cells) != pattern.shape[-1] or len(cells) != pattern.shape[-2]:
            raise ShapeError(
                f"{len(cells)} cells were given for a pattern of {list(pattern.shape[-2:])} positions."
            )
        apart = torch.cdist(cells.nan_to_num(), cells.nan_to_num()).to(pattern)
        placed = ~cells.isnan().any(-1).to(pattern.device)
        among = pattern[:, :, placed][..., placed]
        among = among / among.sum(-1, keepdim=True).clamp(min=1e-12)
        return (among * apart[placed][:, placed]).sum(-1).mean(-1)

    return score


def diagonal(
    queries: Bool[Tensor, "#batch query_pos"] | None = None,
    keys: Bool[Tensor, "#batch key_pos"] | None = None,
) -> Score:
    """Score how far attention runs along the diagonal: 1 where each query looks at one key and these advance evenly.

    It is the correlation of query and key when the pattern is read as their joint distribution: 0 for a head that looks
    everywhere or always at the same place, negative for one that runs backwards. `queries` and `keys` say which count,
    such as the tokens of each transcript and the frames with sound. (The score is our own; that a speech model's
    cross-attention follows the sound is what word timestamps are read from: Radford et al. 2022,
    https://arxiv.org/abs/2212.04356.)

    >>> round(diagonal()(torch.eye(6).reshape(1, 1, 6, 6)).item(), 4)
    1.0
    """

    def score(pattern: Pattern) -> Tensor:
        joint = pattern.double()
        for mask, axis in ((queries, -1), (keys, -2)):
            if mask is not None:
                size = joint.shape[-2] if axis == -1 else joint.shape[-1]
                counted = _fitted(mask, torch.Size([len(joint), size]))
                joint = joint * counted.to(joint.device).unsqueeze(1).unsqueeze(axis)
        joint = joint / joint.sum((-2, -1), keepdim=True).clamp(min=1e-12)
        q, k = (torch.arange(size, device=joint.device).double() for size in joint.shape[-2:])
        of_q, of_k = joint.sum(-1), joint.sum(-2)
        mean_q, mean_k = (of_q * q).sum(-1), (of_k * k).sum(-1)
        spread = ((of_q * q**2).sum(-1) - mean_q**2) * ((of_k * k**2).sum(-1) - mean_k**2)
        together = (joint * q[:, None] * k).sum((-2, -1)) - mean_q * mean_k
        return torch.where(spread > 1e-9, together / spread.clamp(min=1e-9).sqrt(), 0.0).to(pattern.dtype)

    return score


def uniform(pattern: Pattern) -> Pattern:
    """Return the pattern that looks alike at all that a pattern may look at: what a score gives by chance.

    >>> uniform(torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])).tolist()
    [[[[1.0, 0.0], [0.5, 0.5]]]]
    """
    allowed = (pattern.amax((0, 1), keepdim=True) > 0).to(pattern).expand_as(pattern)
    return allowed / allowed.sum(-1, keepdim=True).clamp(min=1)


def _fitted(given: Tensor, shape: torch.Size) -> Tensor:
    """Return positions that count in the shape of a pattern's. Raises ShapeError where they do not fit."""
    try:
        return given.expand(shape)
    except RuntimeError as error:
        raise ShapeError(
            f"The positions that count are {list(given.shape)}, and the pattern has {list(shape)}."
        ) from error


def _positions(pattern: Pattern) -> Int[Tensor, "query_pos"]:
    """Return the positions of the queries among the keys: the last ones."""
    queries, keys = pattern.shape[-2:]
    return torch.arange(keys - queries, keys, device=pattern.device)
