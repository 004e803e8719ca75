"""Steps: exactly the chosen ones, equal to what a plain hook appends to a list."""

import pytest
import torch
from torch import nn

import anylens
from anylens.anatomy.points import Point, Tap
from anylens.core.errors import RunError, UnknownPointError
from anylens.running.choice import Chooser
from anylens.running.step import Step
from anylens.running.steps import Trail
from tests import models

POINT = Point("number", (), (), "int64", Tap("", "out"))

SETTINGS = {
    "method": "generate",
    "max_new_tokens": 6,
    "do_sample": False,
    "pad_token_id": 0,
    "eos_token_id": None,
}


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    model, example = models.llama()
    return model, example, anylens.attach(model, example)


def appended(model, example, module):
    """What a plain hook sees, call by call."""
    seen = []
    handle = module.register_forward_hook(lambda m, args, out: seen.append(out.detach().clone()))
    model.generate(**example, **{name: value for name, value in SETTINGS.items() if name != "method"})
    handle.remove()
    return seen


@pytest.mark.parametrize(
    "choice",
    [
        None, 0, 3, -1, -2, [4, 1], [5, -6, 2], slice(None), slice(1, 5, 2), slice(None, None, -1), slice(-3, None),
        slice(2, -1), lambda step: step % 3 == 0, [0, 99],
    ],
)  # fmt: skip
def test_chosen_steps_are_what_a_list_has(made, choice):
    model, example, lens = made
    plain = appended(model, example, model.model.layers[1])
    _, steps = lens.record(example, points="blocks.1.hook_resid_post", steps=choice, **SETTINGS)
    assert len(plain) == 6
    if choice is None:
        wanted = list(range(6))
    elif callable(choice):
        wanted = [step for step in range(6) if choice(step)]
    elif isinstance(choice, slice):
        wanted = list(range(6))[choice]
    else:
        wanted = [step % 6 for step in ([choice] if isinstance(choice, int) else choice) if -6 <= step < 6]
    assert steps.indices("blocks.1.hook_resid_post") == wanted
    assert len(steps) == len(wanted)
    for cache, step in zip(steps, wanted, strict=True):
        assert torch.equal(cache["blocks.1.hook_resid_post"], plain[step])


def test_stack_and_concat(made):
    model, example, lens = made
    name = "blocks.0.hook_mlp_out"
    plain = appended(model, example, model.model.layers[0].mlp)
    _, steps = lens.record(example, points=name, **SETTINGS)
    assert torch.equal(steps.concat(name), torch.cat(plain, dim=1))
    with pytest.raises(RunError, match="concat"):
        steps.stack(name)
    _, decoded = lens.record(example, points=name, steps=slice(1, None), **SETTINGS)
    assert torch.equal(decoded.stack(name), torch.stack(plain[1:]))
    with pytest.raises(UnknownPointError):
        decoded.stack("blocks.0.hook_attn_out")
    with pytest.raises(RunError, match="no axis 'head'"):
        decoded.concat(name, axis="head")


def test_an_encoder_keeps_its_own_count():
    model, example = models.t5()
    lens = anylens.attach(model, example)
    points = ["encoder.blocks.0.hook_resid_post", "decoder.blocks.0.cross_attn.hook_pattern"]
    given = {"input_ids": example["input_ids"]}
    _, steps = lens.record(given, points=points, **SETTINGS)
    assert steps.indices(points[0]) == [0]
    assert steps.indices(points[1]) == list(range(6))
    assert steps.stack(points[1]).shape == (6, 2, 3, 1, 7)


def test_what_was_captured_is_what_happened(made):
    model, example, lens = made
    edit = {"blocks.0.hook_resid_post": anylens.set_to(0.5).on(steps=[2, 4])}
    out, steps = lens.record(example, points="blocks.0.hook_resid_post", hooks=edit, **SETTINGS)
    assert [bool((cache["blocks.0.hook_resid_post"] == 0.5).all()) for cache in steps] == [
        step in (2, 4) for step in range(6)
    ]
    assert not torch.equal(out, lens.record(example, points="blocks.0.hook_resid_post", **SETTINGS)[0])


def test_a_plain_loop_and_a_cell():
    cell = nn.LSTMCell(3, 5).eval()
    xs = torch.randn(4, 2, 3)
    lens = anylens.attach(cell, (xs[0],))

    def loop(inputs):
        state = None
        for x in inputs:
            state = cell(x, state)
        return state

    (hidden, _), steps = lens.record(xs, points=["hook_out", "hook_out[1]"], method=loop, steps=[3, 0])
    assert steps.stack("hook_out").shape == (2, 2, 5)
    assert torch.equal(steps[0]["hook_out"], hidden)


def test_an_early_end_gives_the_steps_there_were(made):
    model, example, lens = made
    free = {**SETTINGS, "eos_token_id": None}
    out, _ = lens.record(example, points="blocks.0.hook_resid_post", **free)
    first = {"input_ids": example["input_ids"][:1]}
    stop = int(lens.record(first, points="blocks.0.hook_resid_post", **free)[0][0, 7 + 2])
    ended, steps = lens.record(
        first, points="blocks.0.hook_resid_post", steps=slice(0, 6), **{**SETTINGS, "eos_token_id": stop}
    )
    assert len(steps) == ended.shape[1] - 7 <= 3


def test_a_choice_that_can_be_gone_through_but_once(made):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    _, steps = lens.record(example, points=name, steps=iter([4, 1]), **SETTINGS)
    assert steps.indices(name) == [4, 1]


@pytest.mark.parametrize("wrong", ["first", 1.5, [0.5], slice(0.5, None)])
def test_what_is_no_choice_of_steps(made, wrong):
    _, example, lens = made
    with pytest.raises(RunError, match="steps takes"):
        lens.record(example, points="blocks.1.hook_resid_post", steps=wrong, **SETTINGS)


def test_steps_that_never_came_do_not_stack(made):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    _, steps = lens.record(example, points=name, steps=[99], **SETTINGS)
    for join in (steps.stack, steps.concat):
        with pytest.raises(RunError, match="none of the chosen steps"):
            join(name)


@pytest.mark.parametrize(
    "way",
    [{"do_sample": True}, {"num_beams": 3}, {"num_beams": 2, "do_sample": True}, {"use_cache": False}],
    ids=str,
)
def test_every_way_to_generate(made, way):
    model, example, lens = made
    given = {**SETTINGS, **way}
    method = given.pop("method")
    seen = []
    handle = model.model.layers[1].register_forward_hook(lambda m, args, out: seen.append(out.clone()))
    torch.manual_seed(5)
    plain = model.generate(**example, **given)
    handle.remove()
    torch.manual_seed(5)
    out, steps = lens.record(example, method=method, points="blocks.1.hook_resid_post", **given)
    assert torch.equal(out, plain)
    assert [step.index for step in steps.indices("blocks.1.hook_resid_post")] == list(range(len(seen)))
    assert all(torch.equal(c["blocks.1.hook_resid_post"], one) for c, one in zip(steps, seen, strict=True))
    kinds = [step.kind for step in steps.indices("blocks.1.hook_resid_post")]
    cached = way.get("use_cache", True)
    assert kinds == (["prefill"] + ["decode"] * (len(seen) - 1) if cached else ["call"] * len(seen))


def test_prefill_and_decode_of_an_encoder_decoder():
    model, example = models.t5()
    lens = anylens.attach(model, example)
    name = "decoder.blocks.1.hook_resid_post"
    seen = []
    handle = model.decoder.block[1].register_forward_hook(lambda m, args, out: seen.append(out[0].clone()))
    given = {"input_ids": example["input_ids"]}
    model.generate(**given, **{k: v for k, v in SETTINGS.items() if k != "method"})
    handle.remove()
    _, steps = lens.record(given, points=name, steps=slice(None, None, -1), **SETTINGS)
    assert [step.kind for step in steps.indices(name)] == ["decode"] * 5 + ["prefill"]
    assert all(torch.equal(cache[name], one) for cache, one in zip(steps, reversed(seen), strict=True))
    _, first = lens.record(given, points=name, steps=lambda step: step.kind == "prefill", **SETTINGS)
    assert first.indices(name) == [0]


def test_the_tokens_of_a_step_are_those_it_took_in(made):
    _, example, lens = made
    name = "blocks.0.hook_resid_post"
    out, steps = lens.record(example, points=name, **SETTINGS)
    tokens = [step.tokens for step in steps.indices(name)]
    assert torch.equal(torch.cat(tokens, dim=1), out[:, :-1])


def test_values_go_to_a_folder_if_asked(made, tmp_path):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    folder = tmp_path / "steps"
    _, plain = lens.record(example, points=name, steps=[1, -1], **SETTINGS)
    _, steps = lens.record(example, points=name, steps=[1, -1], to=folder, **SETTINGS)
    assert torch.equal(steps.stack(name), plain.stack(name))
    kept = sorted(folder.glob("*.safetensors"))
    assert len(kept) == 2, "files of steps that are no longer wanted go"
    assert not list(folder.glob("*.part"))
    _, half = lens.record(example, points=name, steps=1, to=(folder, torch.bfloat16), **SETTINGS)
    assert half[0][name].dtype == torch.bfloat16
    for file in folder.glob("*.safetensors"):
        file.write_bytes(b"damaged")
    with pytest.raises(RunError, match="cannot be read"):
        steps.stack(name)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        lens.record(example, points=name, to=tmp_path / "file", **SETTINGS)


@pytest.mark.parametrize(
    "choice", [-1, [-2, 0], slice(-2, None), slice(None, -4), 2, slice(1, 6, 2), slice(-1, -3, -1)]
)
def test_no_more_is_kept_than_can_be_chosen(choice):
    for count in range(1, 12):
        trail = Trail(POINT, Chooser(choice))
        most = 0
        for number in range(count):
            trail(torch.tensor(number), Step(number))
            most = max(most, len(trail.kept))
        numbers = choice if isinstance(choice, list) else [choice]
        if isinstance(choice, slice):
            wanted = list(range(count))[choice]
        else:
            wanted = [number % count for number in numbers if -count <= number < count]
        assert [int(trail.value(number)) for number in trail.chosen()] == wanted
        if choice in (-1, 2):
            assert most == 1 if count > 2 else most <= 1
        if choice == slice(-2, None):
            assert most <= 2


def test_every_slice_chooses_what_a_list_would():
    ends = [None, -7, -3, -1, 0, 1, 2, 5]
    for choice in (slice(a, b, c) for a in ends for b in ends for c in (None, 1, 2, 3, -1, -2)):
        for count in (1, 2, 3, 6, 9):
            trail = Trail(POINT, Chooser(choice))
            for number in range(count):
                trail(torch.tensor(number), Step(number))
            assert [int(trail.value(n)) for n in trail.chosen()] == list(range(count))[choice], (
                choice,
                count,
            )


def test_a_loop_within_a_step_counts_its_own():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, xs):
            state = torch.zeros(xs.shape[1], 4)
            for x in xs:
                state = self.cell(x, state)
            return state

    model = Recurrent().eval()
    xs = torch.randn(5, 2, 3)
    lens = anylens.attach(model, xs)
    out, steps = lens.record(xs, points="cell.hook_out")
    assert steps.indices("cell.hook_out") == [0, 1, 2, 3, 4]
    assert torch.equal(steps[4]["cell.hook_out"], out)
    _, steps = lens.record(lambda: [model(xs), model(xs)], points="cell.hook_out", steps=slice(5, 7))
    assert torch.equal(
        steps.stack("cell.hook_out"), lens.record(xs, points="cell.hook_out")[1].stack("cell.hook_out")[:2]
    )
    seen = []
    hooks = {"cell.hook_out": lambda value, at: seen.append((int(at.step), at.step.own))}
    lens.record(xs, points="cell.hook_out", hooks=hooks, step="cell")
    assert seen == [(n, False) for n in range(5)]
    with pytest.raises(RunError, match="no module 'sell'"):
        lens.record(xs, points="cell.hook_out", step="sell")


def test_blocks_that_share_their_weights_are_told_apart_in_every_step():
    model, example = models.albert()
    lens = anylens.attach(model, example)
    names = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    _, steps = lens.record(lambda: [model(**example) for _ in range(3)], points=names)
    assert [steps.indices(name) for name in names] == [[0, 1, 2]] * 2
    _, cache = lens.run_with_cache(example, points=names)
    assert torch.equal(steps[2][names[0]], cache[names[0]])
    assert not torch.equal(cache[names[0]], cache[names[1]])


def test_steps_in_which_a_point_is_not_reached_keep_their_numbers():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.always, self.rare = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.rare(self.always(x)) if x.sum() > 0 else self.always(x)

    model = Sometimes()
    lens = anylens.attach(model, torch.ones(1, 2))

    def loop():
        for sign in (-1, 1, -1, 1, 1, -1):
            model(sign * torch.ones(1, 2))

    _, steps = lens.record(loop, points=["rare.hook_out", "always.hook_out"])
    assert steps.indices("rare.hook_out") == [1, 3, 4]
    assert steps.indices("always.hook_out") == list(range(6))
    _, steps = lens.record(loop, points="rare.hook_out", steps=[3, 0])
    assert steps.indices("rare.hook_out") == [3]


def test_a_cache_that_the_model_makes_itself_is_a_prefill(made):
    model, example, lens = made

    def twice(**given):
        first = model(**given, use_cache=True)
        model(given["input_ids"][:, :1], past_key_values=first.past_key_values)
        model(**given)

    name = "blocks.0.hook_resid_post"
    _, steps = lens.record(twice, example, points=name)
    assert [step.kind for step in steps.indices(name)] == ["prefill", "decode", "call"]


def test_two_recordings_in_one_folder_do_not_write_over_each_other(made, tmp_path):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    _, plain = lens.record(example, points=name, **SETTINGS)
    _, first = lens.record(example, points=name, to=tmp_path, **SETTINGS)
    _, second = lens.record(example, points=name, hooks={name: anylens.scale(0)}, to=tmp_path, **SETTINGS)
    assert torch.equal(first.concat(name), plain.concat(name))
    assert not second.concat(name).any()
    with pytest.raises(RunError, match=r"pathlib\.Path"):
        lens.record(example, points=name, to=str(tmp_path), **SETTINGS)


def test_a_range_is_of_numbers():
    for choose in (anylens.timesteps, anylens.sigmas):
        with pytest.raises(RunError, match="takes two numbers"):
            choose("noisy", 3)
