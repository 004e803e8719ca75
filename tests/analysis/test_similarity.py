"""Similarity: hand-computed values, copies that must be alike, and shared parts that were planted."""

import pytest
import torch

import anylens
from anylens.analysis.similarity import (
    canonical_correlations,
    cka,
    compare,
    minibatch_cka,
    nearest_features,
    svcca,
)
from anylens.core.errors import ShapeError
from anylens.harvest import collect
from anylens.zoo.feeding import Samples


def turned(values, scale=3.0):
    """A rotated, scaled and moved copy."""
    rotation = torch.linalg.qr(torch.randn(values.shape[1], values.shape[1])).Q
    return scale * values @ rotation + torch.randn(values.shape[1])


def by_grams(one, other):
    """CKA as its definition says: of centred Gram matrices."""
    n = len(one)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    k, left = (centre @ (part.double() @ part.double().T) @ centre for part in (one, other))
    return float((k * left).sum() / ((k * k).sum() * (left * left).sum()).sqrt())


def unbiased(k, left):
    """The unbiased estimate as a sum over distinct rows, which is what it estimates without bias."""
    n, total = len(k), 0.0
    quads = torch.cartesian_prod(*[torch.arange(n)] * 4)
    quads = quads[[len(set(quad)) == 4 for quad in quads.tolist()]]
    i, j, q, r = quads.T
    total = (k[i, j] * (left[i, j] + left[q, r] - 2 * left[i, q])).mean()
    return float(total)


def test_cka_of_four_rows_by_hand():
    one = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    other = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    # one's x is 2 in its own direction and so is y: ||y'x||^2 = 2^2 + 2^2, ||x'x|| = 4, ||y'y|| = sqrt(2^2 + 2^2)
    assert cka(one, other) == pytest.approx(8 / (4 * 8**0.5))
    assert cka(one, other + 5) == pytest.approx(8 / (4 * 8**0.5))


def test_copies_are_alike_and_chance_is_not():
    values, others = torch.randn(300, 8), torch.randn(300, 6)
    for measure in (cka, svcca, lambda a, b: minibatch_cka(a, b, batch=50)):
        assert measure(values, turned(values)) == pytest.approx(1, abs=1e-5)
        assert measure(values, others) == pytest.approx(measure(turned(values), turned(others)), abs=1e-5)
        assert measure(values, others) < 0.3
    assert cka(values, others) == pytest.approx(by_grams(values, others))
    stretched = values @ torch.diag(torch.linspace(1, 20, 8))
    assert cka(values, stretched) < 0.9  # minds how directions are stretched
    assert svcca(values, stretched, kept=1.0) == pytest.approx(1, abs=1e-5)  # does not


def test_the_unbiased_estimate_is_fair_where_rows_are_few():
    assert cka(torch.randn(30, 500), torch.randn(30, 500)) > 0.9
    fair = [minibatch_cka(torch.randn(60, 500), torch.randn(60, 500), batch=30) for _ in range(10)]
    assert abs(sum(fair) / 10) < 0.05
    one, other = torch.randn(7, 3).double(), torch.randn(7, 2).double() ** 2
    k, left = one @ one.T, other @ other.T
    by_hand = unbiased(k, left) / (unbiased(k, k) * unbiased(left, left)) ** 0.5
    assert minibatch_cka(one, other, batch=7) == pytest.approx(by_hand, rel=1e-6)


def test_svcca_finds_the_part_that_is_shared():
    shared, own, others = torch.randn(4000, 2), torch.randn(4000, 3), torch.randn(4000, 2)
    one, other = turned(torch.cat([shared, own], 1)), turned(torch.cat([others, shared], 1))
    found = canonical_correlations(one, other, kept=1.0)
    assert len(found) == 4
    assert bool((found[:2] > 0.999).all())
    assert bool((found[2:] < 0.1).all())
    assert svcca(one, other, kept=1.0) == pytest.approx(0.5, abs=0.06)
    faint = torch.cat([shared, 0.01 * own], 1)  # what is shared and strong is kept, the rest is left out
    assert len(canonical_correlations(faint, other)) == 2
    assert svcca(faint, other) > 0.999


def test_a_copy_with_features_that_say_the_same_twice():
    values = torch.randn(100, 3)
    assert svcca(values, torch.cat([values, values], 1), kept=1.0) == pytest.approx(1, abs=1e-5)


def test_layers_near_each_other_are_more_alike():
    lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 96)
    rows = collect(lens, pictures, points="blocks.*.hook_resid_post", positions="first")
    grid = compare(rows)
    table = grid.values[0]
    assert grid.coordinates["one"] == grid.coordinates["other"] == tuple(rows)
    torch.testing.assert_close(table, table.T)
    torch.testing.assert_close(table.diagonal(), torch.ones(6))
    assert bool((table[0, 1:] <= table[0, :-1] + 1e-6).all())  # further and further from the first
    by_svcca = compare(rows, {"last": rows["blocks.5.hook_resid_post"]}, measure=svcca)
    assert by_svcca.values.shape == (1, 6, 1)
    assert float(by_svcca.at(one="blocks.5.hook_resid_post", other="last")) == pytest.approx(1)


def test_nearest_features_are_those_that_were_moved():
    one = torch.randn(20, 50)
    order = torch.randperm(20)
    numbers, cosines = nearest_features(one, 3 * one[order] + 0.1 * torch.randn(20, 50), count=2)
    assert torch.equal(order[numbers[:, 0]], torch.arange(20))
    assert bool((cosines[:, 0] > 0.99).all())
    assert bool((cosines[:, 1] < 0.6).all())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: cka(torch.randn(5, 2), torch.randn(6, 2)), "\\[5, 2\\], \\[6, 2\\]"),
        (lambda: svcca(torch.randn(5), torch.randn(5)), "\\[row, feature\\]"),
        (lambda: cka(torch.ones(5, 2), torch.randn(5, 2)), "same in every row"),
        (lambda: minibatch_cka(torch.randn(5, 2), torch.randn(5, 2), batch=6), "batch of 6"),
        (lambda: minibatch_cka(torch.randn(5, 2), torch.randn(5, 2), batch=3), "at least 4"),
        (lambda: nearest_features(torch.randn(5, 2), torch.randn(5, 3)), "do not have 1 near"),
        (lambda: nearest_features(torch.randn(5, 2), torch.randn(5, 2), count=6), "do not have 6 near"),
    ],
)
def test_what_does_not_compare_is_refused(wrong, says):
    with pytest.raises(ShapeError, match=says):
        wrong()


def test_rows_of_other_places_are_refused():
    lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 4)
    one, other = (collect(lens, pictures, points="blocks.0.hook_resid_post", positions=n) for n in ([0], [1]))
    with pytest.raises(ShapeError, match="same samples and positions"):
        compare(one, other)
