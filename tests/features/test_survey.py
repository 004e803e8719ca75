"""A survey says what a plain run over all rows at once says."""

import pytest
import torch

from anylens.core.errors import SaeError
from anylens.features import survey
from anylens.features.effects import few
from anylens.features.factors import factors_of, ranks
from anylens.features.kept import NEVER, NONE, Grid, Kept
from anylens.features.tally import BINS, Tally
from anylens.sae.truth import auroc
from tests.features.conftest import POINT


@pytest.fixture(scope="module")
def acts(surveyed):
    """The activations of every patch by a plain hook, `[sample, patch, feature]`."""
    lens, sae, data, _ = surveyed
    found = []
    for given in data:
        with torch.no_grad():
            hook = lens.model.vit.layers[0].register_forward_hook(
                lambda m, i, o: found.append(sae.encode(o[:, 1:]))
            )
            lens.model(**given)
        hook.remove()
    return torch.cat(found)


def test_numbers_are_those_of_all_rows(surveyed, acts):
    *_, found = surveyed
    rows = acts.flatten(0, 1)
    assert found.tally.rows == len(rows)
    torch.testing.assert_close(found.tally.density, (rows > 0).double().mean(0))
    torch.testing.assert_close(found.tally.top, rows.amax(0))
    for number in found.alive:
        known = found[number]
        assert known.mean == pytest.approx(float(rows[rows[:, number] > 0, number].mean()), rel=1e-5)
        assert sum(known.histogram.counts) == int((rows[:, number] > 0).sum())


def test_strongest_examples_are_the_samples_with_the_largest_activations(surveyed, acts):
    *_, found = surveyed
    peaks = acts.amax(1)  # sample, feature
    for number in found.alive:
        values, samples = peaks[:, number].topk(3)
        wanted = [(int(s), float(v)) for s, v in zip(samples, values, strict=True) if v > 0]
        shown = [(one.sample.number, one.strength) for one in found[number].strongest]
        assert [s for s, _ in shown] == [s for s, _ in wanted]
        assert [v for _, v in shown] == pytest.approx([v for _, v in wanted], rel=2e-3)  # kept in float16


def test_an_example_has_the_activations_of_its_whole_sample(surveyed, acts):
    *_, found = surveyed
    number = found.alive[0]
    for one in (*found[number].strongest, *found[number].random):
        torch.testing.assert_close(one.acts, acts[one.sample.number, :, number], rtol=2e-3, atol=1e-4)
        patch = one.row  # the class token is left out, so that row n is patch n, at position n + 1
        assert one.position == (patch + 1,)
        assert one.sample.places[patch].label == f"patch ({patch // 4}, {patch % 4})"
        assert one.strength > 0


def test_names_and_truth_come_from_the_data(surveyed):
    _, _, data, found = surveyed
    captions = [caption for number in range(len(data)) for caption in data.truth(number).captions]
    assert all(sample.name == captions[sample.number] for sample in found.samples.values())
    assert any(known.factor for known in found.values())


def test_an_effect_is_that_of_the_direction_added_by_hand(surveyed):
    lens, sae, data, found = surveyed
    number, effect = next(iter(found.effects.items()))
    given = {name: value[:8] for name, value in data[0].items()}
    added = effect.strength * sae.feature(number).direction
    layer = lens.model.vit.layers[0]

    def push(module, inputs, output):
        return torch.cat([output[:, :1], output[:, 1:] + added], dim=1)

    with torch.no_grad():
        before = lens.model(**given).logits
        hook = layer.register_forward_hook(push)
        after = lens.model(**given).logits
        hook.remove()
    change = ((after - after.mean(-1, keepdim=True)) - (before - before.mean(-1, keepdim=True))).mean(0)
    names = lens.model.config.id2label
    for name, value in (*effect.raised, *effect.lowered):
        label = next(label for label, said in names.items() if said == name)
        assert value == pytest.approx(float(change[label]), abs=1e-5)
    assert effect.size == pytest.approx(float(change.abs().max()), abs=1e-5)


def test_the_same_survey_twice_is_the_same(surveyed):
    lens, sae, data, found = surveyed
    from anylens.features import Wanted

    again = survey(lens, sae, data, point=POINT, positions="patches", wanted=Wanted(3, 2, effects=0))
    assert torch.equal(again.random.sample, found.random.sample)


def test_no_data_is_an_error(tiny):
    with pytest.raises(SaeError, match="no inputs"):
        survey(*tiny, [], point=POINT)


def test_a_histogram_is_exact_however_the_rows_come():
    rows = torch.rand(500, 4, generator=torch.Generator().manual_seed(1)) ** 4 * torch.tensor(
        [0.01, 1.0, 30.0, 0.0]
    )
    tally = Tally(4)
    for part in rows.sort(dim=0).values.split(
        7
    ):  # ever larger values, so that ranges are exceeded again and again
        tally.add(part)
    for feature in range(3):
        found = tally.histogram(feature)
        edges = torch.linspace(0, found.top, len(found.counts) + 1)
        assert list(found.counts) == torch.histogram(rows[:, feature], edges).hist.int().tolist()
        assert float(rows[:, feature].max()) <= found.top + 1e-6
        assert len(found.counts) > BINS // 2 - 1
    assert tally.histogram(3).counts == ()


def test_kept_samples_are_the_best_of_all_batches():
    keys = torch.rand(30, 5, 7, generator=torch.Generator().manual_seed(2))  # sample, row, feature
    keys[:, :, 6] = NEVER
    kept = Kept(7, 4)
    for start in range(0, 30, 8):
        part = keys[start : start + 8]
        kept.add(part, part.clamp_min(0), torch.arange(start, start + len(part)))
    best = keys.amax(1).topk(4, dim=0)
    assert torch.equal(kept.sample[:6], best.indices.T[:6])
    assert torch.equal(kept.row[:6], keys.argmax(1).gather(0, best.indices).T[:6])
    torch.testing.assert_close(kept.acts[2, 1].float(), keys[best.indices[1, 2], :, 2], rtol=1e-3, atol=1e-3)
    assert (kept.sample[6] == NONE).all()


def test_rows_of_samples_that_come_mixed_are_told_apart():
    grid = Grid(torch.tensor([4, 9, 4, 9, 9]))
    assert grid.samples.tolist() == [4, 9]
    assert grid.index.tolist() == [[0, 2, NONE], [1, 3, 4]]


def test_ranks_give_the_area_under_the_curve():
    values = torch.randint(0, 5, (60, 3)).float()  # with ties
    positive = torch.rand(60) < 0.4
    count, others = int(positive.sum()), int((~positive).sum())
    by_ranks = (ranks(values)[positive].sum(0) - count * (count + 1) / 2) / (count * others)
    torch.testing.assert_close(by_ranks.float(), auroc(values, positive))


def test_a_planted_factor_is_found_and_chance_is_not():
    random = torch.Generator().manual_seed(3)
    label = torch.randint(0, 3, (400,), generator=random)
    acts = torch.rand(400, 2, generator=random)
    acts[:, 0] += label == 2
    found = factors_of(acts, {"colour": label}, {"colour": ("red", "green", "blue")}, torch.arange(400) // 4)
    assert str(found[0]) == "colour: blue"
    assert found[0].auroc == 1
    assert found[0].control < 0.65
    assert abs(found[1].auroc - 0.5) < 0.12


def test_few_samples_keep_all_rows_of_each():
    codes, words, times = torch.arange(12).view(6, 2), torch.arange(6).view(3, 2), torch.arange(6)
    _, kept = few(((), {"words": words, "codes": codes, "times": times, "names": ["a", "b", "c"]}), 2)
    assert kept["words"].tolist() == words[:2].tolist()
    assert kept["codes"].tolist() == codes[:4].tolist()
    assert len(kept["times"]) == 6
    assert kept["names"] == ["a", "b"]
