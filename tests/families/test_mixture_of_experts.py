"""Mixtures of experts: the router, its choice, and each expert by itself, as the model has them."""

import pytest
import torch
from torch.nn import functional

import anylens
from anylens.families import family_for
from tests.models import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = ROWS["mixture_of_experts"]
MLP = "blocks.1.mlp"
NAMES = {
    "router_logits": ("batch pos expert", (2, 7, 5)),
    "expert_indices": ("batch pos choice", (2, 7, 3)),
    "expert_weights": ("batch pos choice", (2, 7, 3)),
    "expert_in": ("batch pos expert d_model", (2, 7, 5, 12)),
    "expert_out": ("batch pos expert d_model", (2, 7, 5, 12)),
}


@pytest.fixture(params=MODELS)
def made(request):
    model, example = MODELS[request.param]()
    return anylens.attach(model, example), example


def values(lens, example, hooks=None):
    """The output and the points of the last block's mixture."""
    points = [f"{MLP}.hook_{name}" for name in NAMES]
    with lens.hooks(hooks or {}):
        out, cache = lens.run_with_cache(example, points=points)
    return out, {name: cache[f"{MLP}.hook_{name}"] for name in NAMES}


def mixture(lens):
    return lens.model.model.layers[1].mlp


def test_the_family_claims_its_models():
    assert {family_for(make()[0]).name for make in MODELS.values()} == {"mixture of experts"}


def test_axes_and_shapes(made):
    points = made[0].points
    found = {
        name: (" ".join(points[f"{MLP}.hook_{name}"].axes), points[f"{MLP}.hook_{name}"].shape)
        for name in NAMES
    }
    assert found == NAMES


def test_the_router_is_the_models_own(made):
    lens, example = made
    kept = []
    handle = mixture(lens).gate.register_forward_hook(lambda _, args, output: kept.append(output))
    out, cache = values(lens, example)
    handle.remove()
    logits, weights, indices = (one.detach().unflatten(0, (2, 7)) for one in kept[0])
    assert torch.equal(cache["router_logits"], logits)
    assert torch.equal(cache["expert_weights"], weights)
    assert torch.equal(cache["expert_indices"], indices)
    own = lens.model(**example, output_router_logits=True).router_logits[1]
    assert torch.equal(cache["router_logits"].flatten(0, 1), own)


def test_each_expert_takes_the_normalised_stream_of_the_positions_sent_to_it(made):
    lens, example = made
    _, cache = values(lens, example)
    stream = lens.run_with_cache(example, points="blocks.1.ln2.hook_normalized")[1][
        "blocks.1.ln2.hook_normalized"
    ]
    sent = torch.zeros(2, 7, 5, dtype=torch.bool).scatter(-1, cache["expert_indices"], True)
    assert torch.equal(cache["expert_in"][sent], stream[:, :, None].expand(-1, -1, 5, -1)[sent])
    assert not cache["expert_in"][~sent].any()
    assert not cache["expert_out"][~sent].any()


def test_each_expert_gives_what_its_own_weights_compute(made):
    lens, example = made
    _, cache = values(lens, example)
    experts = mixture(lens).experts
    for expert in range(5):
        sent = (cache["expert_indices"] == expert).any(-1)
        gate, up = functional.linear(cache["expert_in"][sent][:, expert], experts.gate_up_proj[expert]).chunk(
            2, -1
        )
        own = functional.linear(functional.silu(gate) * up, experts.down_proj[expert])
        torch.testing.assert_close(cache["expert_out"][sent][:, expert], own.detach())


def test_logits_edited_change_the_choice(made):
    lens, example = made

    def only_the_last(value, _):
        value[..., :2] -= 1e4
        return value

    _, cache = values(lens, example, {f"{MLP}.hook_router_logits": only_the_last})
    assert not torch.isin(cache["expert_indices"], torch.tensor([0, 1])).any()


def test_a_choice_edited_sends_positions_elsewhere(made):
    lens, example = made
    to = torch.tensor([4, 2, 0])
    _, cache = values(
        lens, example, {f"{MLP}.hook_expert_indices": lambda value, _: to.expand_as(value).clone()}
    )
    assert cache["expert_in"][:, :, [0, 2, 4]].any(-1).all()
    assert not cache["expert_in"][:, :, [1, 3]].any()


def test_without_one_expert_the_rest_is_what_the_others_give(made):
    lens, example = made
    before = lens.run_with_cache(example, points="blocks.1.hook_mlp_out")[1]["blocks.1.hook_mlp_out"]
    _, cache = values(lens, example)
    expert = int(cache["expert_indices"][0, 0, 0])
    hooks = {f"{MLP}.hook_expert_out": anylens.scale(0).on(expert=expert)}
    with lens.hooks(hooks):
        after = lens.run_with_cache(example, points="blocks.1.hook_mlp_out")[1]["blocks.1.hook_mlp_out"]
    weight = (cache["expert_weights"] * (cache["expert_indices"] == expert)).sum(-1, keepdim=True)
    torch.testing.assert_close(
        before - after, weight * cache["expert_out"][:, :, expert], atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_every_way_to_compute_experts_gives_the_same_points(made, implementation):
    lens, example = made
    own, before = values(lens, example)
    lens.model.config._experts_implementation = implementation
    out, cache = values(anylens.attach(lens.model, example), example)
    torch.testing.assert_close(out.logits, own.logits)
    for name, value in cache.items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_every_expert_shown_the_output_stays_within_rounding(made, dtype):
    lens, example = made
    lens.model.to(dtype)
    lens.model.config._experts_implementation = "batched_mm"  # the grouped one takes wider rows in bfloat16
    own = lens.model(**example).logits
    out, _ = lens.run_with_cache(example, points="blocks.*.mlp.hook_expert_out")
    torch.testing.assert_close(out.logits, own, atol=2e-2 if dtype == torch.bfloat16 else 1e-6, rtol=1e-2)


def test_a_generation_shows_the_experts_of_each_token(made):
    lens, example = made
    name = f"{MLP}.hook_expert_indices"
    out, steps = lens.record(example, points=name, method="generate", max_new_tokens=4, min_new_tokens=4)
    assert steps.concat(name).shape == (2, 7 + 3, 3)
    whole = lens.run_with_cache(out[:, :-1], points=name)[1][name]
    assert torch.equal(steps.concat(name), whole)


def test_a_dense_model_says_that_it_has_no_experts():
    from tests.models import llama

    lens = anylens.attach(*llama())
    with pytest.raises(anylens.core.errors.AbsentPointError, match="router"):
        lens.points["blocks.0.mlp.hook_router_logits"]
