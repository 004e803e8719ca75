"""Runs: what is captured, what is edited, and that the model stays as it is."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import anylens
from anylens.core.errors import (
    AttachError,
    AxisError,
    DtypeError,
    EditError,
    RunError,
    RunMismatchError,
    ShapeError,
    UnknownPointError,
)
from tests import models


@pytest.fixture
def made():
    model, example = models.gpt2()
    return model, example, anylens.attach(model, example)


def logits(output):
    return output.logits


def hooks_on(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_with_kwargs")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def test_reading_everything_keeps_every_bit(made):
    model, example, lens = made
    names = [point.name for point in lens.points.canonical.values() if not point.needs_stand_in]
    out, cache = lens.run_with_cache(example, points=[*names, "*.op.*"])
    assert torch.equal(logits(out), logits(model(**example)))
    assert len(cache) > 200


def test_a_capture_is_what_a_plain_hook_sees(made):
    model, example, lens = made
    seen = []
    handle = model.transformer.h[1].register_forward_hook(lambda m, a, out: seen.append(out.detach().clone()))
    _, cache = lens.run_with_cache(example, points="blocks.1.hook_resid_post")
    handle.remove()
    assert torch.equal(cache["blocks.1.hook_resid_post"], seen[0])


def test_the_stream_adds_up(made):
    _, example, lens = made
    _, cache = lens.run_with_cache(example, points="blocks.0.hook_*")
    before, attention, mlp = (cache[f"blocks.0.hook_{n}"] for n in ("resid_pre", "attn_out", "mlp_out"))
    assert torch.equal(cache["blocks.0.hook_resid_mid"], attention + before)
    assert torch.equal(cache["blocks.0.hook_resid_post"], cache["blocks.0.hook_resid_mid"] + mlp)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [models.gpt2, models.llama])
def test_an_edit_of_one_head_is_what_surgery_on_the_weights_does(kind, attention):
    model, example = kind(attention)
    lens = anylens.attach(model, example)
    setting = model.config._attn_implementation
    edited = lens.run_with_hooks(example, hooks={"blocks.0.attn.hook_z": anylens.ablate().on(head=1)})
    without_pattern = lens.run_with_hooks(
        example, hooks={"blocks.0.attn.hook_pattern": anylens.ablate().on(head=1)}
    )
    twin = copy.deepcopy(model)
    with torch.no_grad():
        if kind is models.gpt2:
            twin.transformer.h[0].attn.c_proj.weight[8:16] = 0  # rows are inputs: head 1 of width 8
        else:
            twin.model.layers[0].self_attn.o_proj.weight[:, 6:12] = 0  # columns are inputs: head 1 of width 6
        expected = logits(twin(**example))
    assert torch.allclose(logits(edited), expected, atol=1e-6)
    assert torch.allclose(logits(without_pattern), expected, atol=1e-6)
    assert not torch.allclose(logits(model(**example)), expected, atol=1e-4)
    assert model.config._attn_implementation == setting == attention


def test_scores_and_pattern_with_masks():
    model, example = models.llama()
    lens = anylens.attach(model, example)
    mask = torch.ones_like(example["input_ids"])
    mask[0, :3] = 0
    given = {**example, "attention_mask": mask}
    out, cache = lens.run_with_cache(given, points="blocks.0.attn.*")
    assert torch.allclose(logits(out), logits(model(**given)), atol=1e-6)
    pattern = cache["blocks.0.attn.hook_pattern"]
    assert pattern[0, :, 3:, :3].abs().max() == 0
    assert torch.allclose(pattern[:, :, 3:].sum(-1), torch.ones(2, 4, 4))
    values = cache["blocks.0.attn.hook_v"].repeat_interleave(2, 2)
    mixed = torch.einsum("bhqk,bkhd->bqhd", pattern, values)
    assert torch.allclose(mixed[:, 3:], cache["blocks.0.attn.hook_z"][:, 3:], atol=1e-6)


def test_the_heads_results_add_up_to_the_write(made):
    model, example, lens = made
    _, cache = lens.run_with_cache(example, points=["blocks.0.attn.hook_result", "blocks.0.hook_attn_out"])
    total = cache["blocks.0.attn.hook_result"].sum(2) + model.transformer.h[0].attn.c_proj.bias
    assert torch.allclose(total, cache["blocks.0.hook_attn_out"], atol=1e-6)


class Counting(TorchFunctionMode):
    """Counts the fused attentions that really run."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func is nn.functional.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def test_the_stand_in_serves_only_the_layer_asked_for(made):
    _, example, lens = made
    for points, fused in (
        ("blocks.*.attn.hook_q", 2),
        ("blocks.0.attn.hook_pattern", 1),
        ("*.attn.hook_pattern", 0),
    ):
        with Counting() as counting:
            lens.run_with_cache(example, points=points)
        assert counting.count == fused


def test_captures_are_copies(made):
    _, example, lens = made
    seen = []
    hook = {"blocks.0.hook_resid_post": lambda value, at: seen.append(value)}
    _, cache = lens.run_with_cache(example, points="blocks.0.hook_resid_post")
    before = cache["blocks.0.hook_resid_post"].clone()
    lens.run_with_hooks(example, hooks=hook)
    seen[0].zero_()
    assert torch.equal(cache["blocks.0.hook_resid_post"], before)
    assert not cache["blocks.0.hook_resid_post"].requires_grad


class InPlace(nn.Module):
    """Changes in place what a module gave out."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        y = self.map(x)
        kept = y.clone()
        y.mul_(0)
        return y + kept


def test_captures_do_not_follow_changes_in_place():
    x = torch.randn(2, 4)
    model = InPlace().eval()
    lens = anylens.attach(model, x)
    with torch.no_grad():
        _, cache = lens.run_with_cache(x, points=["map.hook_out", "op.mul.0.hook_out"])
    assert torch.equal(cache["map.hook_out"], model.map(x))
    assert cache["op.mul.0.hook_out"].abs().max() == 0


def test_an_edit_of_what_was_changed_in_place_is_seen():
    x = torch.randn(2, 4)
    model = InPlace().eval()
    lens = anylens.attach(model, x)
    with torch.no_grad():
        out = lens.run_with_hooks(x, hooks={"op.mul.0.hook_out": anylens.add(1.0)})
        assert torch.allclose(out, model(x) + 1)


class WritesInPlace(nn.Module):
    """Writes part of a value by a statement, and adds to the rest of it."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        y = self.map(x) * 2
        y[:, 1:3] = x[:, :2]
        y[:, 3:].add_(x[:, 3:])
        return y


def test_an_edit_of_what_is_about_to_be_changed_in_place_ends_in_the_value_itself():
    x = torch.randn(2, 4)
    model = WritesInPlace().eval()
    lens = anylens.attach(model, x)
    plain = model.map(x) * 2
    with torch.no_grad():
        out = lens.run_with_hooks(x, hooks={"op.setitem.0.hook_in": anylens.add(1.0)})
        assert torch.allclose(
            out, torch.cat([plain[:, :1] + 1, x[:, :2], plain[:, 3:] + 1 + x[:, 3:]], dim=1)
        )
        out = lens.run_with_hooks(x, hooks={"op.add.0.hook_in": anylens.add(1.0)})
        assert torch.allclose(out, torch.cat([plain[:, :1], x[:, :2], plain[:, 3:] + 1 + x[:, 3:]], dim=1))


class Reshapes(nn.Module):
    """Gives its value another shape in place."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        return self.map(x).squeeze_(1) * 2


def test_an_edit_of_what_takes_another_shape_in_place():
    x = torch.randn(3, 1, 4)
    model = Reshapes().eval()
    lens = anylens.attach(model, x)
    with torch.no_grad():
        out = lens.run_with_hooks(x, hooks={"op.squeeze.0.hook_in": anylens.add(1.0)})
        assert torch.allclose(out, model(x) + 2)


class RectifiesInPlace(nn.Module):
    """Says by an argument that its operand is to be changed."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        y = self.map(x) * 2
        nn.functional.relu(y, inplace=True)
        return y * 1


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_an_edit_of_what_an_argument_says_is_changed_in_place(mode):
    x = torch.randn(2, 4)
    model = RectifiesInPlace().eval()
    lens = anylens.attach(model, x)
    with mode():
        out = lens.run_with_hooks(x, hooks={"op.relu.0.hook_in": anylens.add(1.0)})
        assert torch.allclose(out, (model.map(x) * 2 + 1).relu())
        out = lens.run_with_hooks(x, hooks={"op.relu.0.hook_out": anylens.add(1.0)})
        assert torch.allclose(out, (model.map(x) * 2).relu() + 1)


def test_what_a_hook_gives_is_not_changed_in_place():
    x, mine = torch.randn(2, 4), -torch.ones(2, 4)
    lens = anylens.attach(RectifiesInPlace().eval(), x)
    with torch.no_grad():
        out = lens.run_with_hooks(x, hooks={"op.relu.0.hook_in": lambda value, at: mine})
    assert (out == 0).all()
    assert (mine == -1).all()


class AddsInPlace(nn.Module):
    """A block that adds to its stream in place, by a statement."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(4), nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x):
        y = x.clone()
        y.add_(self.down(self.up(self.norm(x)).relu()))
        return y


@pytest.mark.parametrize("attach_inside", [False, True])
def test_in_place_adds_under_inference_mode(attach_inside):
    model = nn.Sequential(AddsInPlace(), AddsInPlace()).eval()
    x = torch.randn(2, 3, 4)
    with torch.inference_mode(attach_inside):
        lens = anylens.attach(model, x.clone())
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mlp",), ("mlp",)]
    with torch.inference_mode():
        own = model(x)
        out, cache = lens.run_with_cache(x, points=["*.op.*", "blocks.*"])
        assert torch.equal(out, own)
        edited = lens.run_with_hooks(x, hooks={"1.op.add.0.hook_out": anylens.set_to(3.0)})
        assert (edited == 3).all()
    assert torch.equal(cache["blocks.1.hook_resid_pre"] + cache["blocks.1.hook_mlp_out"], own)


def test_to_another_dtype_and_device(made):
    _, example, lens = made
    _, cache = lens.run_with_cache(example, points="blocks.0.hook_resid_post", to=(torch.float16, "cpu"))
    assert cache["blocks.0.hook_resid_post"].dtype == torch.float16


def test_gradients_reach_what_was_captured(made):
    model, example, lens = made
    points = ["blocks.0.hook_resid_mid", "blocks.1.attn.hook_q", "blocks.0.attn.hook_pattern"]
    out, cache = lens.run_with_cache(example, points=points, grad=True)
    assert torch.allclose(logits(out), logits(model(**example)), atol=1e-6)
    found = torch.autograd.grad(logits(out)[:, -1].sum(), [cache[name] for name in points])
    assert all(gradient.abs().max() > 0 for gradient in found)


def test_gradients_without_parameters_that_need_them(made):
    model, example, lens = made
    model.requires_grad_(False)
    out, cache = lens.run_with_cache(example, points="blocks.0.hook_resid_post", grad=True)
    logits(out).sum().backward()
    assert cache["blocks.0.hook_resid_post"].grad.abs().max() > 0


def test_stop_early_ends_the_forward(made):
    model, example, lens = made
    reached = []
    handle = model.transformer.h[1].register_forward_pre_hook(lambda m, a: reached.append(1))
    points = ["blocks.0.hook_resid_post", "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_mid"]
    out, cache = lens.run_with_cache(example, points=points, stop_early=True)
    handle.remove()
    full = lens.run_with_cache(example, points=points)[1]
    assert out is None
    assert not reached
    assert all(torch.equal(cache[name], full[name]) for name in points)
    assert hooks_on(model) == 0


def test_a_hook_gets_where_it_is(made):
    _, example, lens = made
    seen = []
    lens.run_with_hooks(example, hooks={"blocks.*.attn.hook_q": lambda value, at: seen.append(at)})
    assert [(at.layer, at.step, at.axes) for at in seen] == [
        (0, 0, ("batch", "pos", "head", "d_head")),
        (1, 0, ("batch", "pos", "head", "d_head")),
    ]


def test_hooks_in_any_code_that_calls_the_model(made):
    model, example, lens = made
    clean = logits(model(**example))
    with lens.hooks({"blocks.0.hook_mlp_out": anylens.scale(0)}):
        edited = logits(model(**example))
    assert not torch.equal(edited, clean)
    assert torch.equal(logits(model(**example)), clean)


def test_an_inner_run_sees_the_outer_edit(made):
    model, example, lens = made
    with lens.hooks({"blocks.0.attn.hook_q": anylens.set_to(2.0)}):
        _, cache = lens.run_with_cache(example, points="blocks.0.attn.hook_q")
    assert (cache["blocks.0.attn.hook_q"] == 2).all()
    assert hooks_on(model) == 0


def test_an_outer_run_sees_what_an_inner_one_edits_by_another_name(made):
    model, example, lens = made
    canonical, native = "blocks.0.hook_resid_post", "transformer.h.0.hook_out"

    def inner(*a, **k):
        return lens.run_with_hooks(*a, hooks={native: anylens.set_to(1.0)}, **k)

    _, steps = lens.record(example, points=canonical, method=inner)
    assert (steps[0][canonical] == 1).all()
    _, cache = lens.run_with_cache(example, points=[canonical, native], method=inner)
    assert (cache[canonical] == 1).all()
    assert (cache[native] == 1).all()


def test_a_capture_sees_the_edits_by_all_names(made):
    _, example, lens = made
    names = ("blocks.0.hook_resid_post", "transformer.h.0.hook_out")
    plain = lens.run_with_cache(example, points=names[0])[1][names[0]]
    _, steps = lens.record(example, points=names, hooks=dict.fromkeys(names, anylens.scale(2)))
    for name in names:
        assert torch.equal(steps[0][name], plain * 4)


def test_edits_under_generate(made):
    model, example, lens = made
    settings = {"method": "generate", "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    kept = lens.run_with_hooks(
        example, hooks={"blocks.0.attn.hook_pattern": lambda value, at: value}, **settings
    )
    settings.pop("method")
    assert torch.equal(kept, model.generate(**example, **settings))
    steps = []
    hook = {"blocks.1.hook_resid_mid": lambda value, at: steps.append((at.step, value.shape[1]))}
    lens.run_with_hooks(example, hooks=hook, method="generate", **settings)
    assert steps == [(0, 7), (1, 1), (2, 1), (3, 1)]


def test_packed_queries_of_a_cached_step_are_unpacked():
    model, example = models.llama()
    lens = anylens.attach(model, example)
    mask = torch.ones_like(example["input_ids"])
    mask[0, :3] = 0
    found = {}

    def note(value, at):
        if at.step:
            found[at.name] = tuple(value.shape)

    hooks = {"blocks.0.attn.hook_*": note}
    settings = {"method": "generate", "max_new_tokens": 2, "do_sample": False, "attention_mask": mask}
    lens.run_with_hooks(example, hooks=hooks, **settings)
    assert found["blocks.0.attn.hook_q"] == (2, 1, 4, 6)
    assert found["blocks.0.attn.hook_k"] == (2, 8, 2, 6)
    assert found["blocks.0.attn.hook_pattern"] == (2, 4, 1, 8)


def test_an_exception_leaves_nothing_behind(made):
    model, example, lens = made
    clean = logits(model(**example))

    def raises(value, at):
        raise ZeroDivisionError("in the hook")

    points = ["blocks.0.attn.hook_pattern", "blocks.1.hook_resid_mid", "blocks.0.hook_resid_pre"]
    for point in points:
        with pytest.raises(ZeroDivisionError):
            lens.run_with_hooks(example, hooks={point: raises})
    with pytest.raises(IndexError), lens.hooks({"blocks.1.hook_resid_mid": anylens.scale(0)}):
        model(input_ids=torch.full((2, 7), 10**6))
    assert hooks_on(model) == 0
    assert not torch.overrides._get_current_function_mode_stack()
    assert torch.equal(logits(model(**example)), clean)


def test_four_threads_each_get_their_own_answer(made):
    model, example, lens = made
    rows = [models.token_ids() for _ in range(4)]
    expected = []
    for number, ids in enumerate(rows):
        hook = {"blocks.0.attn.hook_pattern": anylens.scale(number)}
        expected.append(logits(lens.run_with_hooks({"input_ids": ids}, hooks=hook)).detach())
    wrong = []

    def work(number):
        hook = {"blocks.0.attn.hook_pattern": anylens.scale(number)}
        for _ in range(12):
            with torch.no_grad():
                out = logits(lens.run_with_hooks({"input_ids": rows[number]}, hooks=hook))
                plain, cache = lens.run_with_cache(
                    {"input_ids": rows[number]}, points="blocks.1.hook_resid_mid"
                )
            if not torch.equal(out, expected[number]) or len(cache) != 1:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert hooks_on(model) == 0


def test_no_points_no_hooks(made):
    model, example, lens = made
    counts = []
    handle = model.register_forward_pre_hook(lambda m, a: counts.append(hooks_on(model)))
    alone = 1
    with lens.hooks({}):
        model(**example)
    handle.remove()
    assert counts == [alone]


def test_the_fast_path_of_the_encoder():
    model, example = models.transformer_encoder()
    lens = anylens.attach(model, example)
    with torch.no_grad():
        own = model(**example)
        out, cache = lens.run_with_cache(example, points=["blocks.*.hook_*", "blocks.*.attn.hook_pattern"])
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            slow = model(**example)
            read, _ = lens.run_with_cache(example, points=["*.hook_resid_*", "*.hook_*_out", "*.attn.hook_?"])
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert torch.equal(read, slow)
    assert torch.allclose(out, own, atol=2e-6)
    assert torch.allclose(cache["blocks.0.attn.hook_pattern"].sum(-1), torch.ones(2, 3, 7))


def test_dropout_in_training_is_part_of_the_write():
    model, example = models.gpt2()
    lens = anylens.attach(model, example)
    model.train()
    points = ["blocks.0.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.0.hook_resid_mid"]
    _, cache = lens.run_with_cache(example, points=points)
    assert (cache[points[1]] == 0).any()  # dropped
    assert torch.equal(cache[points[2]], cache[points[1]] + cache[points[0]])


def test_code_run_by_exec():
    model, example = models.perceptron()
    scope = {"anylens": anylens, "model": model, "example": example}
    exec(
        "lens = anylens.attach(model, example)\nout, cache = lens.run_with_cache(example, points='1.hook_out')",
        scope,
    )
    assert scope["cache"]["1.hook_out"].shape == (2, 40)


class Sharing(nn.Module):
    """Two parts hold the same activation."""

    def __init__(self):
        super().__init__()
        act = nn.GELU()
        self.parts = nn.ModuleList(nn.ModuleDict({"map": nn.Linear(4, 4), "act": act}) for _ in range(2))

    def forward(self, x):
        for part in self.parts:
            x = part["act"](part["map"](x)) + x
        return x


def test_a_module_held_twice_is_one_module():
    x = torch.randn(2, 4)
    model = Sharing().eval()
    lens = anylens.attach(model, x)
    points = ["parts.0.act.calls.*", "parts.0.act.calls.*.op.*", "op.*"]
    out, cache = lens.run_with_cache(x, points=points)
    assert torch.equal(out, model(x))
    assert torch.equal(cache["parts.0.act.calls.1.hook_out"], cache["parts.0.act.calls.1.op.gelu.0.hook_out"])


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "error", "words"),
    [
        (lambda value, at: value[:1], ShapeError, "blocks.0.hook_resid_post returned shape"),
        (lambda value, at: value.double(), DtypeError, "torch.float64"),
        (lambda value, at: 3, DtypeError, "returned int"),
        (lambda value, at: value.to("meta"), EditError, "on meta"),
        (anylens.add(1.0).on(head=1), AxisError, "no axis 'head'"),
        (anylens.add(1.0).on(pos=99), AxisError, "7 positions"),
        (anylens.add(torch.zeros(5)), EditError, "add"),
        (anylens.patch_from({}), EditError, "no blocks.0.hook_resid_post"),
        (anylens.patch_from(torch.zeros(1, 1, 1)), ShapeError, "patched from"),
    ],
)
def test_a_value_that_does_not_fit(made, hook, error, words):
    model, example, lens = made
    with pytest.raises(error, match=words):
        lens.run_with_hooks(example, hooks={"blocks.0.hook_resid_post": hook})
    assert hooks_on(model) == 0


def test_an_unknown_name_fails_before_the_model_runs(made):
    model, example, lens = made
    ran = []
    handle = model.register_forward_pre_hook(lambda m, a: ran.append(1))
    with pytest.raises(UnknownPointError):
        lens.run_with_cache(example, points=["blocks.0.hook_resid_post", "blocks.0.hook_resid_pots"])
    with pytest.raises(UnknownPointError):
        lens.run_with_hooks(example, hooks={"nothing.*": anylens.scale(0)})
    handle.remove()
    assert not ran


def test_a_point_reached_twice_has_no_one_value(made):
    _, example, lens = made
    with pytest.raises(RunError, match="more than once"):
        lens.run_with_cache(
            example, points="blocks.0.hook_resid_post", method="generate", max_new_tokens=3, pad_token_id=0
        )


class Branches(nn.Module):
    """Takes another way for long inputs."""

    def __init__(self):
        super().__init__()
        self.short, self.long = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        if x.shape[0] > 2:
            return self.long(x).relu() * 2
        return self.short(x).relu().relu() * 2


def test_another_branch_is_an_error_not_a_guess():
    lens = anylens.attach(Branches().eval(), torch.randn(2, 4))
    other = torch.randn(3, 4)
    with pytest.raises(RunError, match="short.hook_out was not reached"):
        lens.run_with_cache(other, points="short.hook_out")
    with pytest.raises(RunMismatchError, match="another branch"):
        lens.run_with_cache(other, points="op.relu.1.hook_out")
    with pytest.raises(RunError, match="not reached"):
        lens.run_with_hooks(other, hooks={"short.hook_out": anylens.scale(0)})


def test_an_example_that_the_model_refuses():
    with pytest.raises(RuntimeError) as caught:
        anylens.attach(nn.Linear(4, 2), torch.randn(2, 3))
    assert "float32 [2, 3]" in "".join(caught.value.__notes__)


def test_what_is_no_module():
    with pytest.raises(AttachError, match="dict"):
        anylens.attach({"not": "a model"})


def test_a_detached_lens(made):
    model, example, lens = made
    lens.detach()
    with pytest.raises(RunError, match="detached"):
        lens.run_with_cache(example, points="blocks.0.hook_resid_post")


def test_a_flattened_write_is_shown_and_edited_by_row_and_position():
    model, example = models.opt()
    lens = anylens.attach(model, example)
    assert lens.points["blocks.0.hook_mlp_out"].axes == ("batch", "pos", "d_model")
    other = {"input_ids": models.token_ids(5)[:1].repeat(3, 1)}
    stream = ["blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out", "blocks.0.hook_resid_post"]
    for given in (example, other):
        _, cache = lens.run_with_cache(given, points=stream)
        mid, write, post = (cache[name] for name in stream)
        assert torch.equal(mid + write, post)
    with lens.hooks({"blocks.0.hook_mlp_out": anylens.ablate().on(pos=3, batch=1)}):
        _, edited = lens.run_with_cache(other, points=stream)
    changed = (edited["blocks.0.hook_resid_post"] != post).any(-1)
    assert changed.nonzero().tolist() == [[1, 3]]


def test_what_cannot_be_watched_is_refused():
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    called = copy.deepcopy(plain)
    called.compile(backend="eager")
    for model in (torch.compile(plain, backend="eager"), called, nn.Sequential(called)):
        with pytest.raises(AttachError, match="was compiled"):
            anylens.attach(model, torch.randn(2, 4))
    with pytest.warns(DeprecationWarning, match="trace"):
        traced = torch.jit.trace(plain, torch.randn(2, 4))
    with pytest.raises(AttachError, match="TorchScript"):
        anylens.attach(traced, torch.randn(2, 4))


class Looped(nn.Module):
    """One map applied as often as the input has rows."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(x.shape[0]):
            x = x + self.map(x).relu()
        return x


def test_another_number_of_calls_is_an_error_not_a_guess():
    lens = anylens.attach(Looped().eval(), torch.randn(2, 4))
    assert lens.run_with_cache(torch.randn(2, 4), points="map.calls.1.hook_out")[1]
    for rows in (1, 3):
        with pytest.raises(anylens.AnylensError, match="2 times|not reached"):
            lens.run_with_cache(torch.randn(rows, 4), points="map.calls.1.hook_out")
    with pytest.raises(RunMismatchError, match="this run 1 times"):
        lens.run_with_cache(torch.randn(1, 4), points="map.calls.0.hook_out")


def test_every_point_at_once_and_none_twice():
    model, example = models.albert()
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(example, points="*")
    assert "albert.encoder.albert_layer_groups.0.calls.1.hook_out" in cache
    assert set(cache) == set(lens.points)
    plain = "albert.encoder.albert_layer_groups.0.hook_out"
    seen = []
    lens.run_with_hooks(example, hooks={plain: lambda value, at: seen.append(at.name)})
    assert seen == [plain, plain]
