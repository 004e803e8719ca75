"""Distributed alignment search: it must find the direction that was planted, and say how well."""

import pytest
import torch
from torch import nn

import anylens
from anylens.analysis.das import Pairs, Search, das
from anylens.core.errors import AxisError, ShapeError, UnknownPointError
from anylens.zoo.worlds.lexicon import BEGIN, NUMBERS, VOCABULARY, WORDS

VALUES, WIDTH = 4, 10


class Sum(nn.Module):
    """Says `a + b`. Both lie along directions of their own, turned into a wider space, beside what does not matter."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q
        self.a, self.b = basis[0], basis[1]
        self.spread = nn.Linear(WIDTH, WIDTH, bias=False)
        self.spread.weight.data = basis.T.clone()  # feature k of the input goes along the k-th direction

    def forward(self, x):
        found = self.spread(x) @ (self.a + self.b)
        return -((found[:, None] - torch.arange(2 * VALUES - 1)) ** 2)


def pairs(count, *, of):
    """Random a, b and noise; what is right with the source's `of` in the base."""
    base, source = (
        torch.cat([torch.randint(0, VALUES, (count, 2)).float(), torch.randn(count, WIDTH - 2)], 1)
        for _ in range(2)
    )
    swapped = base.clone()
    swapped[:, of] = source[:, of]
    return Pairs(base, source, (swapped[:, 0] + swapped[:, 1]).long())


@pytest.fixture(scope="module")
def made():
    model = Sum()
    return model, anylens.attach(model, torch.randn(2, WIDTH))


@pytest.mark.parametrize(("of", "name"), [(0, "a"), (1, "b")])
def test_it_finds_the_direction_that_was_planted(made, of, name):
    model, lens = made
    search = Search(steps=150, rate=0.05, batch=64)
    train, held_out = pairs(256, of=of), pairs(200, of=of)
    found = das(lens, train, held_out, point="spread.hook_out", answers=lambda out: out, search=search)
    way = found.directions[0]
    assert abs(float(torch.cosine_similarity(way, getattr(model, name), dim=0))) > 0.99
    typical = (train.source[:, of] - train.base[:, of]).square().mean().sqrt()
    assert float(way.norm()) == pytest.approx(float(typical), rel=0.05)
    assert found.accuracy > 0.97
    assert found.control < 0.6
    whole = (model(held_out.source).argmax(-1) == held_out.labels).float().mean()
    assert found.whole == pytest.approx(float(whole))
    assert found.unedited == pytest.approx(
        float((model(held_out.base).argmax(-1) == held_out.labels).float().mean())
    )
    assert "interchange accuracy" in str(found)


def test_what_it_finds_patches_and_steers_as_it_is(made):
    model, lens = made
    train = pairs(256, of=0)
    found = das(
        lens,
        train,
        train,
        point="spread.hook_out",
        answers=lambda out: out,
        search=Search(steps=150, rate=0.05),
    )
    new = pairs(100, of=0)
    _, cache = lens.run_with_cache(new.source, points=found.point)
    said = lens.run_with_hooks(new.base, hooks={found.point: found.patch(cache)}).argmax(-1)
    assert float((said == new.labels).float().mean()) > 0.95
    one = 1.0 / float(found.directions[0] @ model.a)  # as much of the direction as a rises by one
    hooks = {found.point: anylens.steer(found.directions[0], one)}
    low = new.base[new.base[:, 0] < VALUES - 1]
    raised = lens.run_with_hooks(low, hooks=hooks).argmax(-1)
    assert float((raised == model(low).argmax(-1) + 1).float().mean()) > 0.95


def test_directions_are_orthogonal_and_a_search_repeats(made):
    model, lens = made
    train, state = pairs(64, of=0), torch.get_rng_state()
    search = Search(size=3, steps=5, seed=1)
    one, again = (
        das(lens, train, train, point="spread.hook_out", answers=lambda out: out, search=search) for _ in "ab"
    )
    assert torch.equal(one.directions, again.directions)
    assert torch.equal(torch.get_rng_state(), state)
    gram = one.directions @ one.directions.T
    torch.testing.assert_close(gram, gram.diagonal().diag(), atol=1e-5, rtol=0)
    assert all(weight.grad is None for weight in model.parameters())


def agreement(count, seed, people):
    """Beginnings such as "the kings near the queen", with their sources, and the number that the verb then has."""
    generator = torch.Generator().manual_seed(seed)

    def drawn():
        numbers = torch.randint(2, (count, 2), generator=generator)
        picks = torch.randint(len(people[0]), (count, 2), generator=generator)
        first, second = (people[numbers[:, n], picks[:, n]] for n in (0, 1))
        the, near, begin = (torch.full((count,), VOCABULARY.index(word)) for word in ("the", "near", BEGIN))
        return {"input_ids": torch.stack([begin, the, first, near, the, second], 1)}, numbers[:, 0]

    base, source = drawn(), drawn()
    return Pairs(base[0], source[0], source[1])


def test_one_direction_of_the_subject_holds_its_number_until_a_head_moves_it():
    lens = anylens.load("zoo:grammar-gpt2")
    people, verbs = (
        torch.tensor(
            [
                [
                    VOCABULARY.index(word.text)
                    for word in WORDS.values()
                    if (word.role, word.number) == (role, number)
                ]
                for number in NUMBERS
            ]
        )
        for role in ("person", "verb")
    )

    def answers(output):
        return output.logits[:, -1].log_softmax(-1)[:, verbs].logsumexp(-1)

    train, held_out = (agreement(128, seed, people) for seed in (1, 2))

    def found(layer, pos, steps=40):
        search = Search(where={"pos": pos}, steps=steps, rate=0.05)
        point = f"blocks.{layer}.hook_resid_post"
        return das(lens, train, held_out, point=point, answers=answers, search=search)

    noun, moved, last = found(0, 2), found(1, 2, steps=2), found(1, -1)
    assert noun.accuracy == noun.whole == 1.0
    assert noun.control < 0.6
    assert moved.accuracy == moved.whole == moved.unedited < 0.6  # nothing reads the noun any more
    assert last.accuracy == 1.0


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"point": "nowhere"}, UnknownPointError, "nowhere"),
        ({"search": Search(size=11)}, ShapeError, "11 directions.* 10 features"),
        ({"search": Search(size=0)}, ShapeError, "0 directions"),
        ({"answers": lambda out: out[:, 0]}, ShapeError, "answers must give"),
        ({"answers": lambda out: out[:, :2]}, ShapeError, "answers 0 to [456] among them"),
        ({"search": Search(where={"pos": 0})}, AxisError, "no axis 'pos'"),
    ],
)
def test_what_cannot_be_searched_is_refused(made, wrong, error, says):
    _, lens = made
    given = {"point": "spread.hook_out", "answers": lambda out: out, **wrong}
    with pytest.raises(error, match=says):
        das(lens, pairs(64, of=0), pairs(8, of=0), **given)


def test_pairs_are_as_many_on_both_sides():
    with pytest.raises(ShapeError, match="4 bases, 4 sources and 3 labels"):
        Pairs(torch.randn(4, 2), torch.randn(4, 2), torch.zeros(3, dtype=torch.long))
