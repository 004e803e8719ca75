"""Sweeps on models of the zoo, text, sight, speech and diffusion: cell by cell what whole forwards give."""

import itertools

import pytest
import torch

import anylens
from anylens.analysis.ablation import ablation_sweep
from anylens.analysis.metrics import distance, logit_difference, region
from anylens.analysis.patching import patching_sweep
from anylens.analysis.sweeping import Windows
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import Scene, ShapesBatch

pytestmark = pytest.mark.filterwarnings("ignore")


def expect_the_plain_loop(lens, grid, inputs, source, points, metric):
    """Every cell again, alone, as one writes it: the source's values, and one whole forward."""
    _, cache = lens.run_with_cache(source, points=points)
    names = {lens.points[name].layer: name for name in cache}
    axes = grid.axes[1:]
    cells = list(itertools.product(*(grid.coordinates[axis] for axis in axes)))
    for cell in cells[:: max(1, len(cells) // 12)]:
        where = dict(zip(axes, cell, strict=True))
        name = names[where["layer"]]
        part = {axis: list(place) if isinstance(place, tuple) else place for axis, place in where.items()}
        part.pop("layer")
        with torch.no_grad():
            expected = metric(lens.run_with_hooks(inputs, hooks={name: anylens.patch_from(cache).on(**part)}))
        torch.testing.assert_close(grid.at(**where), expected, atol=1e-4, rtol=1e-4)
    assert grid.effect.abs().max() > 1e-2


@pytest.mark.parametrize("over", ["pos", "pos head"])
def test_text(over):
    """The number of the subject: at its noun first, then brought by one head to where the verb follows."""
    lens = anylens.load("zoo:grammar-gpt2")
    king, kings = (
        dict(lens.processor(f"today the {w} near the queen", return_tensors="pt")) for w in ("king", "kings")
    )
    metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    points = "blocks.*.attn.hook_z" if "head" in over else "blocks.*.hook_resid_pre"
    grid = patching_sweep(lens, kings, source=king, points=points, metric=metric, over=over)
    expect_the_plain_loop(lens, grid, kings, king, points, metric)
    if "head" in over:
        assert grid.strongest() == [{"layer": 1, "pos": 6, "head": 1}]
    else:
        recovered = grid.recovered[0]
        assert recovered[0, 3] > 0.99
        assert recovered[1, 3] > 0.9
        assert recovered[2, 6] > 0.9
        assert recovered[:, :3].abs().max() == 0  # what comes before the noun is the same: no forward was run


def test_sight():
    """The colour of a star: in its patches at first, in the class token at the end."""
    lens = anylens.load("zoo:shapes-vit")
    stars = [
        Scene(shape="star", colour=c, size="large", background="grey", x=19, y=13) for c in ("red", "blue")
    ]
    red, blue = ({"pixel_values": ShapesBatch.of([star]).pixel_values} for star in stars)
    label = lens.model.config.label2id
    metric = logit_difference(label["red star"], label["blue star"])
    points = "blocks.*.hook_resid_pre"
    grid = patching_sweep(lens, blue, source=red, points=points, metric=metric)
    expect_the_plain_loop(lens, grid, blue, red, points, metric)
    token = grid.recovered[0, :, 0]
    assert token[0].abs() < 0.01
    assert token[-1] > 0.5
    star = (ShapesBatch.of(stars[:1]).coverage(patch=4)[0].flatten() > 0).nonzero().flatten() + 1
    both = patching_sweep(
        lens, blue, source=red, points="blocks.0.hook_resid_pre", metric=metric, over={"pos": [star.tolist()]}
    )
    assert both.recovered.item() > 0.9


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_speech(part):
    lens = anylens.load("zoo:vowels-whisper")
    sounds = Samples("vowels-whisper", 2, seed=1)[0]["input_features"]
    start = torch.full((1, 2), lens.model.config.decoder_start_token_id)
    one, other = ({"input_features": sound[None], "decoder_input_ids": start} for sound in sounds)
    metric = logit_difference(5, 6)
    points = f"{part}.blocks.*.hook_resid_pre"
    over = {"pos": Windows(25, 25)} if part == "encoder" else "pos"
    grid = patching_sweep(lens, one, source=other, points=points, metric=metric, over=over)
    expect_the_plain_loop(lens, grid, one, other, points, metric)


def test_diffusion():
    """Steps, channels and rows of the middle of the U-Net, patched from another prompt's run."""
    lens = anylens.load("zoo:shapes-diffusion")
    common = {"num_inference_steps": 3, "output_type": "pt"}
    one, other = ({"prompt": f"a {colour} circle", **common} for colour in ("red", "blue"))
    lens.model.set_progress_bar_config(disable=True)
    redness = region(0) - region(2)
    point = "unet.mid_block.hook_out"
    over = {"step": [0, 2, (0, 1, 2)], "height": [0, [0, 1, 2, 3]]}
    grid = patching_sweep(lens, one, source=other, points=point, metric=redness, over=over)
    assert (grid.axes, grid.values.shape) == (("row", "point", "step", "height"), (1, 1, 3, 2))

    torch.manual_seed(0)
    _, steps = lens.record(**other, points=point)
    values = steps.stack(point)

    def by_hand(chosen, rows):
        def put(value, at):
            index = torch.tensor(rows)
            return value.index_copy(2, index, values[at.step][:, :, rows]) if at.step in chosen else None

        torch.manual_seed(0)
        return redness(lens.run_with_hooks(**one, hooks={point: put}))

    found = [
        grid.at(step=step, height=height) for step, height in ((0, 0), (2, 0), ((0, 1, 2), (0, 1, 2, 3)))
    ]
    expected = [by_hand([0], [0]), by_hand([2], [0]), by_hand([0, 1, 2], [0, 1, 2, 3])]
    torch.testing.assert_close(torch.cat(found)[:, 0], torch.stack(expected)[:, 0], atol=1e-5, rtol=1e-4)
    assert grid.effect.abs().max() > 1e-4


def test_ablation_of_channels_in_a_diffusion_step():
    lens = anylens.load("zoo:shapes-diffusion")
    lens.model.set_progress_bar_config(disable=True)
    prompt = {"prompt": "a red circle", "num_inference_steps": 2, "output_type": "latent"}
    torch.manual_seed(0)
    clean = lens.model(**prompt)
    over = {"channel": Windows(16, 32), "step": [1]}
    grid = ablation_sweep(lens, prompt, points="unet.mid_block.hook_out", metric=distance(clean), over=over)
    assert grid.base.item() < 1e-5
    torch.manual_seed(0)
    channels = grid.coordinates["channel"][0]
    hooks = {"unet.mid_block.hook_out": anylens.scale(0).on(channel=list(channels), steps=[1])}
    expected = distance(clean)(lens.run_with_hooks(**prompt, hooks=hooks))
    torch.testing.assert_close(grid.values[:, 0, 0, 0], expected, atol=1e-5, rtol=1e-4)
    assert expected.item() > 1e-3
