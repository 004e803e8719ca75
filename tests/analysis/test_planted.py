"""The planted model does what it was made to do, and a lens finds its points."""

import pytest
import torch

import anylens
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
