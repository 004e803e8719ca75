"""State spaces: points hold what the model itself computes, whole sequences and single steps alike."""

import pytest
import torch
from torch.nn import functional

import anylens
from anylens.conformance.compare import MANY, gap
from anylens.families import family_for
from tests.models import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = ROWS["state_space"]
BOTH = ["mamba", "mamba2"]
STATE, Y = "blocks.0.ssm.hook_state", "blocks.0.ssm.hook_y"
AXES = {
    "mamba": {
        "x": "batch pos d_inner", "dt": "batch pos d_inner", "B": "batch pos state", "C": "batch pos state",
        "state": "batch pos d_inner state", "y": "batch pos d_inner", "gate": "batch pos d_inner",
        "conv": "batch pos d_inner",
    },
    "mamba2": {
        "x": "batch pos head d_head", "dt": "batch pos head", "B": "batch pos group state",
        "C": "batch pos group state", "state": "batch pos head d_head state", "y": "batch pos head d_head",
        "gate": "batch pos d_inner", "conv": "batch pos channel",
    },
}  # fmt: skip
SHAPES = {
    "mamba": {"x": (2, 7, 24), "B": (2, 7, 5), "state": (2, 7, 24, 5), "conv": (2, 7, 24)},
    "mamba2": {"x": (2, 7, 6, 4), "B": (2, 7, 3, 5), "state": (2, 7, 6, 4, 5), "conv": (2, 7, 54)},
}


@pytest.fixture(params=BOTH)
def made(request):
    model, example = MODELS[request.param]()
    return request.param, anylens.attach(model, example), example


def mixer(lens):
    return lens.model.backbone.layers[0].mixer


def seen_by_hook(module, call):
    """What leaves a module, by a hook of one's own."""
    kept = []
    handle = module.register_forward_hook(lambda _, args, output: kept.append(output.detach().clone()))
    call()
    handle.remove()
    return kept[0]


def ssm(lens, example):
    _, cache = lens.run_with_cache(example, points="blocks.0.ssm.*")
    return {name.rpartition("hook_")[2]: value for name, value in cache.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_family_claims_its_models_and_builds_their_example(name):
    model = MODELS[name]()[0]
    assert family_for(model).name == "state space"
    assert "blocks.0.ssm.hook_state" in anylens.attach(model).points


def test_axes_and_shapes_are_those_of_the_field(made):
    name, lens, _ = made
    points = {point.name.rpartition("hook_")[2]: point for point in lens.points.find("blocks.0.ssm.*")}
    assert {key: " ".join(point.axes) for key, point in points.items()} == AXES[name]
    assert {key: points[key].shape for key in SHAPES[name]} == SHAPES[name]


def test_mamba_values_are_the_models_own():
    model, example = MODELS["mamba"]()
    lens = anylens.attach(model, example)
    values, part = ssm(lens, example), mixer(lens)

    def call():
        return model(**example)

    x, gate = seen_by_hook(part.in_proj, call).chunk(2, -1)
    assert torch.equal(values["gate"], gate)
    conv = part.conv1d(x.transpose(1, 2))[..., :7].transpose(1, 2)
    torch.testing.assert_close(values["conv"], conv.detach())
    torch.testing.assert_close(values["x"], functional.silu(values["conv"]))
    low, B, C = seen_by_hook(part.x_proj, call).split([3, 5, 5], -1)
    assert torch.equal(values["B"], B)
    assert torch.equal(values["C"], C)
    torch.testing.assert_close(values["dt"], functional.softplus(part.dt_proj(low)).detach())


def test_mamba2_values_are_the_models_own():
    model, example = MODELS["mamba2"]()
    lens = anylens.attach(model, example)
    values, part = ssm(lens, example), mixer(lens)
    gate, rest, dt = seen_by_hook(part.in_proj, lambda: model(**example)).split([24, 54, 6], -1)
    assert torch.equal(values["gate"], gate)
    conv = part.conv1d(rest.transpose(1, 2))[..., :7].transpose(1, 2)
    torch.testing.assert_close(values["conv"], conv.detach())
    x, B, C = functional.silu(values["conv"]).split([24, 15, 15], -1)
    torch.testing.assert_close(values["x"], x.unflatten(-1, (6, 4)))
    torch.testing.assert_close(values["B"], B.unflatten(-1, (3, 5)))
    torch.testing.assert_close(values["C"], C.unflatten(-1, (3, 5)))
    torch.testing.assert_close(values["dt"], functional.softplus(dt + part.dt_bias).detach())


def test_the_state_behind_each_position_is_the_one_a_cache_holds_there(made):
    _, lens, example = made
    states = ssm(lens, example)["state"]
    for length in (1, 4, 7):
        held = lens.model(example["input_ids"][:, :length], use_cache=True).cache_params
        own = held.layers[0].recurrent_states[0]
        torch.testing.assert_close(states[:, length - 1], own.to(states.dtype), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 3, 4, 17])
def test_the_output_with_stand_ins_is_the_models_own_within_rounding(made, dtype, length):
    _, lens, _ = made
    lens.model.to(dtype)
    tokens = torch.randint(3, 53, (2, length))
    own = lens.model(tokens).logits
    out, cache = lens.run_with_cache(tokens, points="blocks.*.ssm.*")
    assert gap(own, out.logits) <= max(
        MANY[dtype], MANY[cache[STATE].dtype]
    )  # Mamba2 scans in float32 at most
    assert cache[STATE].shape[1] == length


def test_what_enters_the_scan_is_read_bit_for_bit(made):
    _, lens, example = made
    own = lens.model(**example).logits
    for name in ("x", "B", "C", "gate", "conv"):
        out, _ = lens.run_with_cache(example, points=f"blocks.*.ssm.hook_{name}")
        assert torch.equal(out.logits, own), name


def test_a_state_edited_at_one_position_changes_that_and_later_ones(made):
    _, lens, example = made
    own = lens.model(**example).logits
    hooks = {STATE: anylens.scale(-3).on(pos=3)}
    with lens.hooks(hooks):
        out, cache = lens.run_with_cache(example, points=[STATE, Y])
    plain = lens.run_with_cache(example, points=[STATE, Y])[1]
    torch.testing.assert_close(cache[STATE][:, 3], -3 * plain[STATE][:, 3])
    for name in (STATE, Y):
        moved = (cache[name] != plain[name]).flatten(2).any(-1)
        assert torch.equal(moved, (torch.arange(7) >= 3).expand(2, 7)), name
    moved = (out.logits - own).abs().amax(-1) > 1e-7
    assert torch.equal(moved, (torch.arange(7) >= 3).expand(2, 7))


def test_states_of_another_run_make_its_continuation(made):
    """With every state of one run put in, what is read out of the states is that run's."""
    _, lens, example = made
    other = {"input_ids": example["input_ids"].flip(1)}
    theirs = lens.run_with_cache(other, points=[STATE])[1][STATE]
    with lens.hooks({STATE: lambda value, at: theirs}):
        _, cache = lens.run_with_cache(example, points=[STATE])
    assert torch.equal(cache[STATE], theirs)


def generated(lens, tokens, hooks=None, **settings):
    names = [f"blocks.1.ssm.hook_{name}" for name in AXES["mamba"]]
    settings = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, **settings}
    out, steps = lens.record(tokens, points=names, method="generate", hooks=hooks, **settings)
    return out, {name: steps.concat(name) for name in names}


@pytest.mark.parametrize("length", [2, 7])
def test_token_by_token_is_the_whole_sequence(made, length):
    _, lens, example = made
    tokens = example["input_ids"][:, :length]
    out, values = generated(lens, tokens)
    assert torch.equal(out, lens.model.generate(tokens, max_new_tokens=5, min_new_tokens=5, do_sample=False))
    whole = lens.run_with_cache(out[:, :-1], points=list(values))[1]
    for name, value in values.items():
        torch.testing.assert_close(value, whole[name], atol=1e-5, rtol=1e-4)


def test_an_edit_in_the_prompt_flows_into_the_generated_tokens(made):
    _, lens, example = made
    out, values = generated(lens, example["input_ids"], {STATE: of_prompt(5.0)})
    with lens.hooks({STATE: anylens.add(torch.tensor(5.0)).on(pos=2)}):
        whole = lens.run_with_cache(out[:, :-1], points=list(values))[1]
    own = lens.run_with_cache(out[:, :-1], points=list(values))[1]
    name = "blocks.1.ssm.hook_x"
    torch.testing.assert_close(values[name], whole[name], atol=1e-4, rtol=1e-3)
    assert (own[name] - whole[name])[:, 8:].abs().max() > 1e-4


def of_prompt(size):
    """Add to the states at position 2 of the prompt, and to those of no generated token."""

    def hook(value, _):
        if value.shape[1] > 1:
            value[:, 2] += size
        return value

    return hook


def test_an_edit_at_a_generated_token_flows_on(made):
    _, lens, example = made
    tokens, seen = example["input_ids"], []

    def at_the_second(value, _):
        seen.append(1)
        return value + 5.0 if len(seen) == 3 else None  # the prompt, the first token, the second

    out, values = generated(lens, tokens, {STATE: at_the_second})
    with lens.hooks({STATE: anylens.add(torch.tensor(5.0)).on(pos=8)}):
        whole = lens.run_with_cache(out[:, :-1], points=list(values))[1]
    for name, value in values.items():
        torch.testing.assert_close(value, whole[name], atol=1e-4, rtol=1e-3)


def test_beams_and_no_cache_generate_as_without_a_lens(made):
    _, lens, example = made
    tokens = example["input_ids"]
    for settings in ({"num_beams": 2}, {"use_cache": False}):
        own = lens.model.generate(tokens, max_new_tokens=3, do_sample=False, **settings)
        out, _ = lens.record(
            tokens, points=STATE, method="generate", max_new_tokens=3, do_sample=False, **settings
        )
        assert torch.equal(own, out)


def test_padding_is_as_in_the_model(made):
    _, lens, example = made
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, :3] = 0
    inputs = {**example, "attention_mask": mask}
    out, _ = lens.run_with_cache(inputs, points="blocks.*.ssm.*")
    torch.testing.assert_close(out.logits, lens.model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_the_names_of_mambalens_lead_to_the_points():
    model, example = MODELS["mamba"]()
    points = anylens.attach(model, example).points
    assert points["blocks.1.hook_h"].name == "blocks.1.ssm.hook_state"
    assert points["blocks.0.hook_delta"].name == "blocks.0.ssm.hook_dt"


def test_blocks_of_a_hybrid_say_what_they_lack():
    model, example = MODELS["jamba"]()
    lens = anylens.attach(model, example)
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mixer", "mlp"), ("attn", "mlp")]
    assert "blocks.0.mlp.hook_expert_out" in lens.points
    with pytest.raises(anylens.core.errors.AbsentPointError, match="state space"):
        lens.points["blocks.1.ssm.hook_state"]


def test_a_model_on_the_meta_device_has_its_points():
    import transformers

    with torch.device("meta"):
        model = transformers.MambaForCausalLM(transformers.MambaConfig(num_hidden_layers=2)).eval()
    assert anylens.attach(model).points["blocks.1.ssm.hook_state"].axes[-1] == "state"


def test_tokens_are_the_layout(made):
    assert made[1].layout.where((3,), (7,)).token == 3
