"""The planted model does what it was made to do, and a lens finds its points."""

import pytest
import torch

import anylens
from anylens.analysis.ablation import ablation_sweep, mean_of
from anylens.analysis.attribution import integrated_gradients
from anylens.analysis.metrics import logit_difference
from anylens.analysis.probes import Fitting, probe
from anylens.harvest import collect
from tests.analysis.planted import VOCAB, planted


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_it_continues_every_pattern(shift, noise):
    model, facts = (made := planted(shift=shift, noise=noise)).model, made.facts
    cycle = torch.stack([torch.randperm(VOCAB) for _ in range(20)])
    logits = model(torch.cat([cycle, cycle], 1))
    expected = torch.tensor(facts.token_map)[cycle[:, 1:]]
    assert torch.equal(logits[:, VOCAB : 2 * VOCAB - 1].argmax(-1), expected)
    assert torch.equal(model(made.clean)[:, -1].argmax(-1), made.answers)
    assert not (model(made.corrupted)[:, -1].argmax(-1) == made.answers).any()


def test_the_heads_look_where_they_should():
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    _, cache = lens.run_with_cache(made.clean, points="blocks.*.attn.hook_pattern")
    for (layer, head), query, key in (
        (made.facts.previous_head, slice(1, None), range(made.clean.shape[1] - 1)),
        (made.facts.induction_head, [-1], [made.source]),
    ):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, head]
        assert (pattern[:, query].argmax(-1) == torch.tensor(list(key))).all()
        assert pattern[:, query].amax(-1).min() > 0.9


def test_the_lens_finds_its_points():
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    for layer in (0, 1):
        for name in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"):
            assert lens.points[f"blocks.{layer}.hook_{name}"].axes == ("batch", "pos", "d_model")
        for name in ("q", "k", "v", "z", "result"):
            assert lens.points[f"blocks.{layer}.attn.hook_{name}"].axes[:3] == ("batch", "pos", "head")


def test_without_noise_nothing_else_writes():
    made = planted(noise=0.0)
    lens = anylens.attach(made.model, example=made.clean)
    _, cache = lens.run_with_cache(made.clean, points=["blocks.*.attn.hook_result", "blocks.*.hook_mlp_out"])
    wrote = [
        (layer, head)
        for layer in (0, 1)
        for head in range(3)
        if cache[f"blocks.{layer}.attn.hook_result"][:, :, head].any()
    ]
    assert wrote == [made.facts.previous_head, made.facts.induction_head]
    assert not any(cache[f"blocks.{layer}.hook_mlp_out"].any() for layer in (0, 1))


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_ablation_finds_the_two_heads(to):
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    filling = None if to == "zero" else mean_of(made.clean, over="batch pos")
    metric = logit_difference(made.answers, made.wrong)
    grid = ablation_sweep(
        lens, made.clean, points="blocks.*.attn.hook_z", metric=metric, over="head", to=filling
    )
    heads = {(cell["layer"], cell["head"]) for cell in grid.strongest(2)}
    assert heads == {made.facts.previous_head, made.facts.induction_head}
    assert (grid.base - grid.at(layer=1, head=2)).min() > 3  # without it the answer's logit is gone


def test_integrated_gradients_find_the_heads_and_where_they_write():
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    grid = integrated_gradients(
        lens, made.clean, source=made.corrupted, points="blocks.*.attn.hook_z",
        metric=logit_difference(made.answers, made.wrong), over="pos head",
    )  # fmt: skip
    found = {(cell["layer"], cell["pos"], cell["head"]) for cell in grid.strongest(2)}
    last = made.clean.shape[1] - 1
    assert found == {(0, made.source, 1), (1, last, 2)}


def test_a_probe_reads_the_token_before_once_its_head_has_written():
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    ids = torch.randint(VOCAB, (96, 12), generator=torch.Generator().manual_seed(0))
    before = torch.full_like(ids, -1)
    before[:, made.source] = ids[:, made.source - 1]
    rows = collect(lens, [ids], points=["blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid"])
    table = probe(rows, before, fitting=Fitting(folds=3))
    assert table.best().point == "blocks.0.hook_resid_mid"
    assert table.best().score > 0.95
    assert table.best().control < 0.4
    assert table.at("blocks.0.hook_resid_pre", step=0).score < 0.4
