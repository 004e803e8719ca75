"""Gradients, paths, tuned lenses and searches on models of sight, speech and diffusion; text is beside each tool."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import anylens
from anylens.analysis.attribution import agreement, attribution_patching, integrated_gradients
from anylens.analysis.das import Pairs, Search, das
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.analysis.paths import Paths, path_patching
from anylens.analysis.tuned_lens import TunedSettings, fit_tuned_lens
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import Scene, ShapesBatch

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class Task:
    """Two inputs of a model, what is asked of its output, and where its stream is written and ends."""

    lens: Any
    inputs: Any
    source: Any
    metric: Any
    state: str  # a state that all of the output comes from
    heads: str
    sender: str  # the heads whose paths are followed
    reader: str  # what comes after it


def sight():
    lens = anylens.load("zoo:shapes-vit")
    red, blue = (
        ShapesBatch.of([Scene(shape="star", colour=c, size="large", background="grey", x=19, y=13)])
        for c in ("red", "blue")
    )
    label = lens.model.config.label2id
    return Task(
        lens, {"pixel_values": blue.pixel_values}, {"pixel_values": red.pixel_values},
        logit_difference(label["red star"], label["blue star"]),
        "blocks.0.hook_resid_pre", "blocks.*.attn.hook_z", "blocks.0.attn.hook_z", "blocks.5.hook_resid_post",
    )  # fmt: skip


def speech():
    lens = anylens.load("zoo:vowels-whisper")
    sounds = Samples("vowels-whisper", 2, seed=1)[0]["input_features"]
    start = torch.full((1, 2), lens.model.config.decoder_start_token_id)
    one, other = ({"input_features": sound[None], "decoder_input_ids": start} for sound in sounds)
    return Task(
        lens, one, other, logit_difference(5, 6), "encoder.blocks.0.hook_resid_pre",
        "decoder.blocks.*.cross_attn.hook_z", "decoder.blocks.0.cross_attn.hook_z",
        "decoder.blocks.1.hook_resid_post",
    )  # fmt: skip


def diffusion():
    """One step of denoising: how far the noise predicted for one prompt turns to that for the other."""
    pipe = anylens.load("zoo:shapes-diffusion")
    lens = pipe.parts["unet"]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (
        {
            "sample": noise,
            "timestep": torch.tensor([600]),
            "encoder_hidden_states": pipe.model.encode_prompt(f"a {colour} circle", "cpu", 1, False)[
                0
            ].detach(),
        }
        for colour in ("red", "blue")
    )
    with torch.no_grad():
        way = lens.model(**other).sample - lens.model(**one).sample
    last = [name for name in lens.points if name.endswith("cross_attn.hook_z")][-1]
    return Task(
        lens, one, other, lambda output: (output.sample * way).flatten(1).sum(1) / way.square().sum(),
        "conv_norm_out.hook_in", "*hook_z", last, "conv_out.hook_in",
    )  # fmt: skip


@pytest.fixture(scope="module", params=[sight, speech, diffusion], ids=lambda make: make.__name__)
def task(request):
    return request.param()


def test_attribution_patching_is_what_a_small_patch_does(task):
    """Each way a hundredth of the patch, at one head; and most heads have the sign that true patching gives them."""
    how = {"source": task.source, "metric": task.metric, "over": "head"}
    found = attribution_patching(task.lens, task.inputs, points=task.sender, **how).effect.flatten()
    _, there = task.lens.run_with_cache(**task.source, points=task.sender)

    def moved(head, share):
        def part(value, at):
            new = value.clone()
            new[:, :, head] += share * (there[task.sender] - value)[:, :, head]
            return new

        with torch.no_grad():
            return task.metric(task.lens.run_with_hooks(**task.inputs, hooks={task.sender: part}))

    slopes = torch.cat([(moved(head, 0.01) - moved(head, -0.01)) / 0.02 for head in range(len(found))])
    torch.testing.assert_close(found, slopes, atol=0.01 * float(slopes.abs().max()), rtol=0.02)
    truth = patching_sweep(task.lens, task.inputs, points=task.heads, **how)
    estimate = attribution_patching(task.lens, task.inputs, points=task.heads, **how)
    assert agreement(estimate, truth).signs > 0.8
    assert truth.effect.abs().max() > 0.1


def test_integrated_gradients_add_up_to_patching_the_whole_state(task):
    how = {"source": task.source, "points": task.state, "metric": task.metric}
    whole = patching_sweep(task.lens, task.inputs, over="", **how).effect.flatten()
    axis = "pos" if "pos" in task.lens.points[task.state].axes else "height"
    grid = integrated_gradients(task.lens, task.inputs, over=axis, steps=24, **how)
    found = grid.effect.sum().reshape(1)
    coarse = attribution_patching(task.lens, task.inputs, over=axis, **how).effect.sum()
    torch.testing.assert_close(found, whole, atol=1e-3, rtol=0.02)
    assert (coarse - whole).abs() > 5 * (found - whole).abs()


def test_all_paths_to_the_last_reader_are_the_whole_patch(task):
    """With nothing frozen, everything that patched heads do goes through the state that the model ends in."""
    paths = Paths(task.sender, task.reader, over="head", frozen=())
    grid = path_patching(task.lens, task.inputs, source=task.source, paths=paths, metric=task.metric)
    what = {"source": task.source, "points": task.sender, "metric": task.metric, "over": "head"}
    truth = patching_sweep(task.lens, task.inputs, **what)
    torch.testing.assert_close(grid.effect, truth.effect, atol=1e-4, rtol=1e-3)
    assert truth.effect.abs().max() > 1e-3
    direct = path_patching(
        task.lens, task.inputs, source=task.source, metric=task.metric,
        paths=Paths(task.sender, task.reader, over="head"),
    )  # fmt: skip
    assert not torch.allclose(direct.effect, truth.effect, atol=1e-3)


def pictures():
    return anylens.load("zoo:shapes-vit"), [Samples("shapes-vit", 96, batch=24)[n] for n in range(4)]


def sounds():
    lens = anylens.load("zoo:vowels-whisper")
    found = []
    for inputs in Samples("vowels-whisper", 16, batch=4):
        tokens = lens.model.generate(inputs["input_features"])
        start = torch.full((4, 1), lens.model.config.decoder_start_token_id)
        tokens = torch.cat([start, tokens], 1)[:, :4]
        found.append({"input_features": inputs["input_features"], "decoder_input_ids": tokens})
    return lens, found


@pytest.mark.parametrize("made", [pictures, sounds])
def test_a_tuned_lens_comes_nearer_to_what_the_model_says(made):
    lens, data = made()
    settings = TunedSettings(steps=30, rows=128, learning_rate=1e-3)
    tuned = fit_tuned_lens(lens, data, settings=settings)
    assert bool((tuned.after[:-1] < 0.9 * tuned.before[:-1]).all())
    assert tuned.before[-1] < 1e-5


def test_directions_of_the_class_token_hold_what_is_seen():
    """Exchanged along a few directions of the last state, a picture is called what its source is."""
    lens = anylens.load("zoo:shapes-vit")

    def pairs(seed):
        base, source = (
            Samples("shapes-vit", 64, batch=64, seed=s)[0]["pixel_values"] for s in (seed, seed + 1)
        )
        with torch.no_grad():
            right = lens.model(source).logits.argmax(-1)
        return Pairs({"pixel_values": base}, {"pixel_values": source}, right)

    search = Search(size=16, where={"pos": 0}, steps=20, rate=0.1, batch=32)
    point = "blocks.4.hook_resid_post"
    found = das(lens, pairs(1), pairs(11), point=point, answers=lambda output: output.logits, search=search)
    assert found.accuracy > found.control + 0.2
    assert found.whole >= found.accuracy > found.unedited + 0.2
