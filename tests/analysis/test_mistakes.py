"""What a user may get wrong: one error of our own tree that says what was given and what to do, and never a number."""

import pytest
import torch

import anylens
from anylens.analysis.ablation import ablation_sweep, mean_of
from anylens.analysis.circuits import composition_scores, ov_circuit, qk_circuit
from anylens.analysis.contributions import Direction
from anylens.analysis.das import Pairs, Search, das
from anylens.analysis.direct import direct_attribution
from anylens.analysis.grid import Grid
from anylens.analysis.heads import head_scores
from anylens.analysis.logit_lens import logit_lens
from anylens.analysis.metrics import answers, distance, kl_divergence, log_probability, logit, loss, region
from anylens.analysis.patching import patching_sweep
from anylens.analysis.paths import path_patching
from anylens.analysis.patterns import background, diagonal, entropy, mean_distance, previous_token
from anylens.analysis.probes import ProbeTable, probe
from anylens.analysis.sweeping import Settings, Windows
from anylens.analysis.weights import attention_maps
from anylens.core.errors import AnylensError, AxisError, EditError, PointError, ShapeError, UnknownPointError
from anylens.harvest import collect
from tests.analysis.planted import planted


@pytest.fixture(scope="module")
def made():
    return planted()


@pytest.fixture(scope="module")
def lens(made):
    return anylens.attach(made.model, example=made.clean)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"over": 3}, EditError, "over takes names of axes"),
        ({"over": None}, EditError, "For whole points give ''"),
        ({"over": {"pos": 3}}, AxisError, "a list of positions.*given as 3"),
        ({"over": {"pos": slice(0, 3)}}, AxisError, "a list of positions"),
        ({"over": {"pos": [0.5]}}, AxisError, "a list of positions"),
        ({"over": {"pos": [[]]}}, AxisError, "a list of positions"),
        ({"points": []}, PointError, "at least one point"),
        ({"metric": "logit"}, ShapeError, "a function of the output.*'logit'"),
        ({"metric": logit([1, 2, 3])}, ShapeError, "targets for 3 rows"),
    ],
)
def test_sweeps(lens, made, wrong, error, says):
    how = {"source": made.corrupted, "points": "blocks.*.hook_resid_pre", "metric": logit(1), **wrong}
    with pytest.raises(error, match=says):
        patching_sweep(lens, made.clean, **how)


def test_windows_and_fillings(lens, made):
    for wrong in ((0, 1), (2, 0)):
        with pytest.raises(AxisError, match="at least 1 wide"):
            Windows(*wrong)
    for to, error in (("mean", EditError), (mean_of(made.corrupted, over=""), AxisError)):
        with pytest.raises(error, match="mean_of"):
            ablation_sweep(lens, made.clean, points="blocks.*.hook_mlp_out", metric=logit(1), to=to)


@pytest.mark.parametrize(
    ("metric", "error", "says"),
    [
        (region(0, 99), AxisError, "99 is outside dimension 2 of the output, which has 4"),
        (region([7]), AxisError, r"\[7\] is outside dimension 1"),
        (region(slice(9, 12)), AxisError, "holds nothing of dimension 1"),
        (distance(torch.zeros(2, 1, 1)), ShapeError, "is compared with"),
        (kl_divergence(torch.zeros(2, 3, 5)), ShapeError, "is compared with"),
        (loss(torch.full((2, 3), 9)), AxisError, "none of the 4 tokens"),
        (answers(9), AxisError, "no token or class 9"),
    ],
)
def test_metrics(metric, error, says):
    with pytest.raises(error, match=says):
        metric(torch.zeros(2, 3, 4))


def test_the_mean_over_positions_is_that_of_what_is_measured():
    logits = torch.tensor([[[5.0, 0.0], [0.0, 1.0]]])
    expected = logits.log_softmax(-1)[:, :, 0].mean(1)
    torch.testing.assert_close(log_probability(0, at=None)(logits), expected)
    assert answers(0, at=None)(logits).tolist() == [0.5]


@pytest.mark.parametrize(
    ("direction", "by", "error", "says"),
    [
        (1, "heads", AxisError, "write, head, neuron; by='heads'"),
        (torch.tensor([1, 2, 3]), "write", ShapeError, "for 3 rows, and the input has 4"),
        (Direction(torch.zeros(40), at="blocks.0.hook_resid_posst"), "write", UnknownPointError, "nearest"),
        (
            Direction(torch.zeros(40), at="blocks.0.hook_mlp_out"),
            "write",
            AxisError,
            "no state of the stream",
        ),
    ],
)
def test_directions(lens, made, direction, by, error, says):
    with pytest.raises(error, match=says):
        direct_attribution(lens, made.clean, direction, by=by)


def test_parts_and_ranks(lens, made):
    found = direct_attribution(lens, made.clean, 1)
    for ask in (lambda: found["blocks.0.hook_mpl_out"], lambda: found.split("blocks.0.hook_mlp_out")):
        with pytest.raises(UnknownPointError):
            ask()
    with pytest.raises(AxisError, match="no output 99 among 8"):
        logit_lens(lens, made.clean).ranks(99)


def test_circuits(lens, made):
    first, second = (attention_maps(lens, f"blocks.{layer}.attn", made.clean) for layer in (0, 1))
    for circuit in (ov_circuit, qk_circuit):
        with pytest.raises(AxisError, match="has 3 heads, and no head 9"):
            circuit(first, 9)
    with pytest.raises(AxisError, match="by='K'"):
        composition_scores(first, second, "K")


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (previous_token, "made by a call"),
        (entropy, "made by a call: entropy()"),
        ("entropy", "given as 'entropy'"),
        (lambda pattern: pattern.mean(), "it gave shape"),
        (background(torch.ones(4, 3, dtype=torch.bool)), "positions that count"),
        (diagonal(torch.ones(1, 3, dtype=torch.bool)), "positions that count"),
        (mean_distance(torch.zeros(3, 2)), "3 cells"),
    ],
)
def test_scores_of_heads(lens, made, score, says):
    with pytest.raises(ShapeError, match=says):
        head_scores(lens, made.clean, score)


def test_searches(lens, made):
    with pytest.raises(ShapeError, match="at least 1"):
        Search(batch=0)
    how = {"answers": lambda output: output[:, -1], "search": Search(steps=1)}
    for point, labels, error, says in (
        ("blocks.*.hook_resid_post", made.answers, AxisError, "at one point"),
        ("blocks.0.hook_resid_post", made.answers - 9, ShapeError, "answers -"),
    ):
        pairs = Pairs(made.clean, made.corrupted, labels)
        with pytest.raises(error, match=says):
            das(lens, pairs, pairs, point=point, **how)


def test_grids():
    grid = Grid(
        torch.tensor([[0.5, torch.nan]]), ("row", "pos"), {"row": (0,), "pos": (0, 1)}, torch.zeros(1)
    )
    assert grid.strongest() == [{"pos": 0}]
    for ask in (lambda: grid.plot(of="effects"), lambda: ProbeTable((), {}).grid("scores")):
        with pytest.raises(AnylensError, match="asked for"):
            ask()


def test_what_is_no_settings_no_paths_and_no_rows_by_point(lens, made):
    for rows in (0, -1):
        with pytest.raises(ShapeError, match=f"at least one.*{rows}"):
            Settings(rows=rows)
    with pytest.raises(EditError, match=r"Paths\(senders, receivers\).*'blocks"):
        path_patching(lens, made.clean, source=made.corrupted, paths="blocks.*", metric=logit(1))
    point = "blocks.0.hook_mlp_out"
    rows = collect(lens, [made.clean], points=point)[point]
    with pytest.raises(ShapeError, match="by the name of their point.*Rows"):
        probe(rows, made.answers)
