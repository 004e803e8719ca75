"""Probes: equal to scikit-learn by hand, fair to samples, at chance where nothing is, right about the zoo's worlds."""

import numpy as np
import pytest
import torch

import anylens
from anylens.analysis.contributions import Direction
from anylens.analysis.direct import direct_attribution
from anylens.analysis.directions import random_like
from anylens.analysis.probes import Fitting, probe
from anylens.core.errors import AxisError, ShapeError
from anylens.harvest import collect
from anylens.store.rows import Rows
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS

THREE = Fitting(folds=3)


def rows_of(values, positions=1):
    """Rows of samples with as many positions each."""
    number = torch.arange(len(values))
    where = torch.stack([torch.zeros_like(number), number % positions], 1).int()
    return {"here": Rows(values, number // positions, where, ("pos",))}


@pytest.fixture
def blobs():
    """Three classes around centres of their own, in features of very different spread."""
    label = torch.arange(90) % 3
    centres = torch.tensor([[0.0, 2.0, 0.0, 0.0], [1.5, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    spread = torch.tensor([1.0, 10.0, 0.1, 100.0])
    return (centres[label] + torch.randn(90, 4)) * spread + 7.0, label


def test_a_probe_is_what_scikit_learn_fits_by_hand(blobs):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values, label = blobs
    found = probe(rows_of(values), label, fitting=Fitting(folds=4, penalty=0.5, seed=3)).at("here", step=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=2.0, max_iter=2000))
    x, y = values.double().numpy(), label.numpy()
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=3)
    said = cross_val_predict(model, x, y, groups=np.arange(90), cv=folds)
    assert found.score == pytest.approx((said == y).mean())
    assert 0.7 < found.score < 1.0
    model.fit(x, y)
    assert found.predict(values).tolist() == model.predict(x).tolist()
    logits = model.decision_function(x)
    others = np.stack([np.delete(logits, k, axis=1).mean(1) for k in range(3)], axis=1)
    torch.testing.assert_close(
        found.read(values.double()), torch.from_numpy(logits - others), atol=1e-3, rtol=1e-3
    )


def test_the_direction_of_a_number_is_the_one_that_was_planted():
    way = torch.tensor([3.0, 0.0, 4.0, 0.0])
    number = torch.randn(400)
    values = number[:, None] * way + torch.randn(400, 4) * torch.tensor([0.5, 3.0, 0.5, 0.5])
    found = probe(rows_of(values), number).at("here", step=0)
    assert found.values == ()
    assert found.score > 0.97
    assert found.control < 0.02
    assert float((found.predict(values) - number).square().mean()) < 0.03
    along = found.direction()
    assert float(torch.cosine_similarity(along, way, dim=0)) > 0.99
    torch.testing.assert_close(found.read(values + 2.5 * along), found.read(values) + 2.5)


def test_directions_of_two_classes_are_opposite_and_add_to_the_logit(blobs):
    values, label = blobs
    found = probe(rows_of(values), label.clamp(max=1)).at("here", step=0)
    assert found.values == (0, 1)
    torch.testing.assert_close(found.direction(0), -found.direction(1))
    torch.testing.assert_close(found.direction(), found.direction(1))
    odds = found.read(values)
    torch.testing.assert_close(odds[:, 0], -odds[:, 1])
    torch.testing.assert_close(
        found.read(values + found.direction(1))[:, 1], odds[:, 1] + 1, atol=1e-4, rtol=0
    )
    with pytest.raises(ShapeError, match="tells \\[0, 1\\] apart, and not 2"):
        found.direction(2)


def test_a_sample_is_never_on_both_sides():
    """Each sample is known by a feature of its own, and has a random label: only a leak could tell the label."""
    samples, positions = 60, 5
    values = torch.eye(samples).repeat_interleave(positions, 0) + 0.01 * torch.randn(
        samples * positions, samples
    )
    label = torch.randint(0, 2, (samples,))
    rows = rows_of(values, positions)
    fair = probe(rows, label, fitting=THREE).at("here", step=0)
    alone = {"here": Rows(values, torch.arange(len(values)), rows["here"].where, ("pos",))}
    leaking = probe(alone, label.repeat_interleave(positions), fitting=THREE).at("here", step=0)
    assert leaking.score > 0.99
    assert fair.score < 0.7


def test_a_control_task_gives_away_what_is_learned_by_heart():
    """Each row shows its type, and nothing else: the label of a type is read, and so is one that was made up."""
    types = torch.randint(0, 20, (400,))
    values = torch.eye(20)[types] + 0.01 * torch.randn(400, 20)
    label = types % 2
    by_heart = probe(rows_of(values), label, types=types, fitting=THREE).at("here", step=0)
    shuffled = probe(rows_of(values), label, fitting=THREE).at("here", step=0)
    assert by_heart.score == shuffled.score > 0.99
    assert by_heart.control > 0.99
    assert abs(by_heart.selectivity) < 0.01
    assert abs(shuffled.control - 0.5) < 0.1


def test_each_position_has_a_probe_of_its_own_and_labels_may_differ():
    values = torch.randn(100, 3, 4)
    label = (values[:, :, 0] > 0).long()
    label[:, 1] = torch.randint(0, 2, (100,))  # nothing to read there
    label[:40, 0] = -1
    label[2:, 2] = -1
    table = probe(rows_of(values.flatten(0, 1), 3), label, by=("pos",), fitting=THREE)
    assert [(one.place, one.rows) for one in table] == [({"pos": 0}, 60), ({"pos": 1}, 100)]
    grid = table.grid()
    assert grid.axes == ("row", "point", "pos")
    assert float(grid.at(point="here", pos=0)) > 0.85
    assert abs(float(grid.at(point="here", pos=1)) - 0.5) < 0.2
    assert table.best() is table.at("here", pos=0)
    assert float(table.grid("selectivity").values[0, 0, 0]) == pytest.approx(
        table.best().score - table.best().control
    )
    assert "here pos=2: none, 0 of 1 classes has 3 samples or more" in str(table)
    with pytest.raises(AxisError, match="no probe at here pos=2: 0 of"):
        table.at("here", pos=2)
    numbers = values[:, :, 1].clone()
    numbers[:, 1:] = torch.nan
    alone = probe(rows_of(values.flatten(0, 1), 3), numbers, by=("pos",), fitting=THREE)
    assert [one.place for one in alone] == [{"pos": 0}]


def test_each_step_has_a_probe_of_its_own():
    """A cell that forgets: what the first step took in is read off the state less and less well."""
    cell = torch.nn.Linear(4, 4)
    cell.weight.data = 0.4 * torch.eye(4)
    lens = anylens.attach(cell, torch.randn(2, 4))
    first = torch.randn(120, 4)

    def loop(state):
        for _ in range(4):
            state = cell(state) + torch.randn(len(state), 4)
        return state

    rows = collect(lens, [first], points="hook_out", steps=slice(None), method=loop)
    grid = probe(rows, (first[:, 0] > 0).long(), fitting=THREE).grid().values[0, 0]
    assert len(grid) == 4
    assert grid[0] > 0.9
    assert grid[0] > grid[1] + 0.1
    assert grid[3] < 0.7


def test_shape_comes_to_the_class_token_over_the_layers():
    lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 160)
    points = ["hook_embed", *(f"blocks.{layer}.hook_resid_post" for layer in (0, 4))]
    rows = collect(lens, pictures, points=points, positions="first")
    truth = [pictures.truth(number).factors for number in range(len(pictures))]
    table = probe(rows, torch.cat([one["shape"] for one in truth]), fitting=THREE)
    before, early, late = table.grid().values.flatten().tolist()
    assert before == pytest.approx(table.probes[0].chance, abs=0.05)  # the same token in every picture
    assert before + 0.15 < early < late - 0.2
    assert late > 0.9
    assert bool(((table.grid("control").values - table.grid("chance").values).abs() < 0.12).all())


def test_steering_along_a_probe_of_colour_changes_the_colour_that_is_named():
    lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 96)
    point = "blocks.3.hook_resid_post"
    rows = collect(lens, pictures, points=point, positions="first")
    colours = torch.cat([pictures.truth(number).factors["colour"] for number in range(len(pictures))])
    found = probe(rows, colours, fitting=THREE).at(point, step=0)
    inputs, way = (
        Samples("shapes-vit", 32, split="held_out")[0],
        found.direction(FACTORS["colour"].index("red")),
    )

    def named_red(direction):
        hooks = {point: anylens.steer(direction, 32.0).on(pos=0)}
        labels = lens.run_with_hooks(**inputs, hooks=hooks).logits.argmax(-1)
        return sum(lens.model.config.id2label[int(label)].startswith("red") for label in labels) / len(labels)

    assert named_red(way) > 0.9
    assert named_red(random_like(way, seed=0)) < 0.3

    parts = direct_attribution(lens, inputs, Direction(found.weight(0), at=point), pos=0)
    values = lens.run_with_cache(**inputs, points=point)[1][point][:, 0]
    torch.testing.assert_close(
        parts.values.sum(-1), found.read(values)[:, 0] - found.bias[0], atol=1e-3, rtol=1e-3
    )


def test_an_encoder_of_speech_keeps_the_vowel_and_lets_go_of_the_pitch():
    lens, sounds = anylens.load("zoo:vowels-whisper"), Samples("vowels-whisper", 32)
    points = ["encoder.hook_embed", "encoder.blocks.2.hook_resid_post"]
    rows = collect(lens, sounds, points=points)
    truth = sounds.truth(0).positions(hop=320)  # by frame of the encoder; -1 in a pause
    vowel, pitch = (
        probe(rows, truth[factor], fitting=THREE).grid().values[0, :, 0] for factor in ("vowel", "pitch")
    )
    assert bool((vowel > 0.9).all())
    assert pitch[0] > pitch[1] + 0.15


def test_a_grammar_keeps_number_beyond_what_each_word_shows():
    lens = anylens.load("zoo:grammar-gpt2")
    batch = lens.world.sample(96, seed=0)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask.long()}
    points = ["hook_embed", "blocks.2.hook_resid_post"]
    rows = collect(lens, [inputs], points=points, positions="attended")
    table = probe(rows, batch.settled()["number"], types=batch.input_ids, fitting=THREE)
    embedded, late = table.grid("selectivity").values.flatten().tolist()
    assert embedded < 0  # a label made up for each word is learned by heart more easily
    assert late > 0.05
    assert table.probes[1].score > table.probes[0].score + 0.1


@pytest.mark.parametrize(
    ("labels", "more", "error", "says"),
    [
        (torch.zeros(9, dtype=torch.long), {}, ShapeError, "rows go up to \\[10\\]"),
        (torch.zeros(10, 3, 3, dtype=torch.long), {}, ShapeError, "\\[sample\\] or \\[sample, pos\\]"),
        (torch.zeros(10, dtype=torch.long), {}, ShapeError, "No probe can be fitted anywhere"),
        ([0, 1] * 5, {}, ShapeError, "a tensor with one entry for each sample, and list"),
        (torch.full((10,), torch.nan), {}, ShapeError, "No probe can be fitted anywhere"),
        (torch.arange(10) % 2, {"by": ("head",)}, AxisError, "no axis 'head'. They have step pos"),
        (torch.arange(10) % 2, {"types": torch.zeros(3)}, ShapeError, "types are of \\[3\\]"),
    ],
)
def test_what_cannot_be_probed_is_refused(labels, more, error, says):
    with pytest.raises(error, match=says):
        probe(rows_of(torch.randn(20, 3), 2), labels, **more)


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"penalty": 0.0}])
def test_a_fit_needs_folds_and_a_penalty(wrong):
    with pytest.raises(ShapeError, match="Two folds at least"):
        Fitting(**wrong)
