"""Probes, directions and similarity take rows of text, pictures, speech and diffusion alike."""

import pytest
import torch

import anylens
from anylens.analysis.directions import principal_directions
from anylens.analysis.probes import Fitting, probe
from anylens.analysis.similarity import cka, compare, svcca
from anylens.harvest import collect
from anylens.zoo.feeding import Samples

# of which model, at which two points, in which run, and a factor that is to be read off the second
STEPWISE = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "latent"}
CASES = {
    "grammar-gpt2": (("hook_embed", "blocks.1.hook_resid_post"), {}, "tense"),
    "shapes-vit": (("blocks.0.hook_resid_post", "blocks.4.hook_resid_post"), {}, "colour"),
    "vowels-whisper": (("encoder.blocks.0.hook_resid_post", "encoder.blocks.2.hook_resid_post"), {}, "vowel"),
    "shapes-diffusion": (("unet.down_blocks.1.hook_out", "unet.mid_block.hook_out"), STEPWISE, "colour"),
}


def labels(samples, factor):
    truth = samples.truth(0)
    if hasattr(truth, "settled"):
        return truth.settled()[factor]
    return truth.positions(hop=320)[factor] if hasattr(truth, "rate") else truth.factors[factor]


def first(lens, data, point, how):
    """The rows of the first step of a run that is always the same."""
    torch.manual_seed(0)
    return collect(lens, data, points=point, **{**how, "steps": None if how["steps"] is None else 0})[
        point
    ].values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_what_is_there_is_read_compared_and_steered(name):
    points, given, factor = CASES[name]
    lens, samples = anylens.load(f"zoo:{name}"), Samples(name, 32)
    if given:
        lens.model.set_progress_bar_config(disable=True)
    data = [{**one, **given} for one in samples]
    how = {"positions": "attended" if "gpt2" in name else "all", "steps": slice(None) if given else None}
    rows = collect(lens, data, points=points, **how)
    late = rows[points[1]]
    table = probe({points[1]: late}, labels(samples, factor), fitting=Fitting(folds=2, penalty=10.0))
    assert len(table) == (2 if given else 1)
    assert all(one.score > one.control + 0.15 for one in table)
    for measure in (cka, svcca):
        assert 0 < float(compare(rows, measure=measure).at(one=points[0], other=points[1])) < 0.999

    other = [{**one, **given} for one in Samples(name, 8, seed=1)]
    way = anylens.difference_of_means(lens, data, other, points=points[1], **how)[points[1]]
    varied = principal_directions(late.values, 2)
    before = first(lens, data, points[1], how)
    for direction in (table.probes[0].direction(0), way, varied[1]):
        with lens.hooks({points[1]: anylens.steer(direction, 1.0)}):
            moved = first(lens, data, points[1], how) - before
        torch.testing.assert_close(moved, direction.expand_as(moved), atol=1e-4, rtol=1e-3)
