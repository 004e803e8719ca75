"""Splices: features as points. Spliced in and left alone nothing changes; an edit does what arithmetic by hand does."""

import pytest
import torch

import anylens
from anylens.core.errors import AbsentPointError, AxisError, EditError, ShapeError, UnknownPointError
from anylens.sae import make
from tests import models, pipelines

pytestmark = pytest.mark.filterwarnings("ignore")
POINT = "blocks.0.hook_resid_post"
ACTS, RECON, ERROR = (f"{POINT}.sae.hook_{last}" for last in ("acts", "recon", "error"))


@pytest.fixture(scope="module")
def lens():
    torch.manual_seed(0)
    model, example = models.gpt2()
    return anylens.attach(model, example)


@pytest.fixture(scope="module")
def ids(lens):
    return torch.randint(0, lens.model.config.vocab_size, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sae(lens):
    made = make("topk", lens.points[POINT].shape[-1], 40, k=4, seed=1).eval()
    made.scale.fill_(0.5)
    return made


@pytest.fixture(scope="module")
def spliced(lens, sae):
    return lens.splice({POINT: sae})


def test_left_alone_it_changes_nothing(lens, spliced, ids, sae):
    plain, cache = lens.run_with_cache(ids, points=POINT)
    out, inner = spliced.run_with_cache(ids, points=[ACTS, RECON, ERROR, POINT])
    assert torch.equal(out.logits, plain.logits)
    x = cache[POINT]
    assert torch.equal(inner[ACTS], sae.encode(x))
    assert torch.equal(inner[RECON], sae(x))
    assert torch.equal(inner[ERROR], x - sae(x))
    assert torch.equal(inner[POINT], x)
    assert inner.axes(ACTS) == ("batch", "pos", "feature")
    assert inner.axes(RECON) == inner.axes(ERROR) == ("batch", "pos", "d_model")
    assert inner[ACTS].shape[-1] == spliced.points[ACTS].shape[-1] == 40


def test_the_lens_it_came_from_has_no_such_points(lens):
    with pytest.raises((AbsentPointError, UnknownPointError)):
        lens.points.find(ACTS)


def test_an_edited_feature_is_arithmetic_by_hand(lens, spliced, ids, sae):
    _, cache = lens.run_with_cache(ids, points=POINT)
    x = cache[POINT]
    feature = int(sae.encode(x).sum((0, 1)).argmax())
    acts = sae.encode(x)
    acts[..., feature] = 3.0
    wanted = lens.run_with_hooks(ids, hooks={POINT: anylens.set_to(sae.decode(acts) + (x - sae(x)))})
    got = spliced.run_with_hooks(ids, hooks={ACTS: anylens.set_to(3.0).on(feature=feature)})
    assert torch.equal(got.logits, wanted.logits)
    assert not torch.equal(got.logits, lens.model(ids).logits)


@pytest.mark.parametrize("name", [ACTS, RECON, ERROR])
def test_each_point_inside_has_an_effect(lens, spliced, ids, name):
    plain = lens.model(ids).logits
    got = spliced.run_with_hooks(ids, hooks={name: anylens.add(1.0)})
    assert not torch.allclose(got.logits, plain)


def test_what_is_seen_is_what_went_on(spliced, ids, sae):
    """A capture beside an edit, and a capture inside a run with edits around it, see the edited value once."""
    clamp = {ACTS: anylens.set_to(2.0).on(feature=5)}
    with spliced.hooks(clamp):
        _, cache = spliced.run_with_cache(ids, points=[ACTS, RECON, ERROR, POINT])
    assert bool((cache[ACTS][..., 5] == 2.0).all())
    assert torch.equal(cache[RECON], sae.decode(cache[ACTS]))
    assert torch.equal(cache[POINT], cache[RECON] + cache[ERROR])


def test_edits_at_the_point_itself_come_first(spliced, ids, sae):
    with spliced.hooks({ACTS: anylens.scale(1.0), POINT: anylens.set_to(0.25)}):
        _, cache = spliced.run_with_cache(ids, points=[ACTS])
    assert torch.equal(cache[ACTS], sae.encode(torch.full((*cache[ACTS].shape[:2], sae.d_in), 0.25)))


def test_without_the_error_the_model_goes_on_with_the_reconstruction(lens, ids, sae):
    bare = lens.splice({POINT: sae}, error=False)
    _, cache = lens.run_with_cache(ids, points=POINT)
    wanted = lens.run_with_hooks(ids, hooks={POINT: anylens.set_to(sae(cache[POINT]))})
    out, later = bare.run_with_cache(ids, points="blocks.1.hook_resid_post")
    assert torch.equal(out.logits, wanted.logits)
    assert len(later) == 1
    with pytest.raises(UnknownPointError):
        bare.points.find(ERROR)


def test_two_splices_in_one_lens(lens, ids):
    names = [POINT, "blocks.1.hook_mlp_out"]
    width = lens.points[POINT].shape[-1]
    both = lens.splice({names[0]: make("standard", width, 30, l1=0.1)}).splice(
        {names[1]: make("jumprelu", width, 20, l0=0.1)}
    )
    out, cache = both.run_with_cache(ids, points="*.sae.hook_acts")
    assert {name: value.shape[-1] for name, value in cache.items()} == {
        f"{names[0]}.sae.hook_acts": 30,
        f"{names[1]}.sae.hook_acts": 20,
    }
    assert torch.equal(out.logits, lens.model(ids).logits)


def test_gradients_reach_features_and_error(spliced, ids):
    with torch.enable_grad():
        out, cache = spliced.run_with_cache(ids, points=[ACTS, ERROR], grad=True)
        out.logits[:, -1, 3].sum().backward()
    acts, error = cache[ACTS], cache[ERROR]
    step = torch.zeros_like(acts)
    step[0, -1, 7] = 1e-2
    up = spliced.run_with_hooks(ids, hooks={ACTS: anylens.add(step)}).logits[:, -1, 3].sum()
    down = spliced.run_with_hooks(ids, hooks={ACTS: anylens.add(-step)}).logits[:, -1, 3].sum()
    assert float(acts.grad[0, -1, 7]) == pytest.approx(float(up - down) / 2e-2, rel=0.05, abs=1e-5)
    assert float(error.grad.abs().sum()) > 0


def test_steps_know_features(lens, spliced, ids, sae):
    lens.model.config.eos_token_id = None
    told = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "method": "generate"}
    _, plain = lens.record(ids, points=POINT, **told)
    _, steps = spliced.record(ids, points=ACTS, **told)
    assert [int(step) for step, _ in steps.items(ACTS)] == [0, 1, 2]
    for (_, acts), (_, x) in zip(steps.items(ACTS), plain.items(POINT), strict=True):
        assert torch.equal(acts, sae.encode(x))
    seen = []
    for step in spliced.iterate(ids, points=ACTS, **told):
        step.edit({ACTS: anylens.set_to(1.0).on(feature=2)})
        seen.append(step.cache[ACTS])
    assert len(seen) == 3
    assert all(bool((acts[..., 2] == 1.0).all()) for acts in seen)


def test_a_map_has_its_features_last(ids):
    torch.manual_seed(0)
    model, example = models.resnet()
    lens = anylens.attach(model, example)
    point = next(name for name, p in lens.points.canonical.items() if "channel" in p.axes)
    width = lens.points[point].shape[1]
    sae = make("topk", width, 3 * width, k=2).eval()
    _, plain = lens.run_with_cache(**example, points=point)
    _, cache = lens.splice({point: sae}).run_with_cache(**example, points=[f"{point}.sae.*", point])
    assert cache.axes(f"{point}.sae.hook_acts") == ("batch", "height", "width", "feature")
    assert torch.equal(cache[f"{point}.sae.hook_acts"], sae.encode(plain[point].movedim(1, -1)))
    assert cache[f"{point}.sae.hook_recon"].shape == plain[point].shape


def test_in_a_pipeline_by_either_name():
    lens = anylens.attach(pipelines.stable_diffusion())
    name = "unet.mid_block.hook_out"
    sae = make("topk", lens.points[name].shape[1], 20, k=3).eval()
    spliced = lens.splice({"mid_block.hook_out": sae})
    told = {"prompt": ["ab", "cd"], "num_inference_steps": 2, "output_type": "latent"}

    def run(lens, points):
        return lens.record(**told, generator=torch.Generator().manual_seed(0), points=points)

    (latents, plain), (same, steps) = run(lens, name), run(spliced, "mid_block.hook_out.sae.hook_acts")
    assert torch.equal(latents.images, same.images)
    _, again = run(spliced, f"{name}.sae.hook_acts")
    acts = steps.stack(f"{name}.sae.hook_acts")
    assert torch.equal(acts, sae.encode(plain.stack(name).movedim(2, -1)))
    assert torch.equal(acts, again.stack(f"{name}.sae.hook_acts"))


def test_bad_input_is_named(lens, spliced, ids, sae):
    with pytest.raises(ShapeError, match="rows of 40"):
        lens.splice({POINT: make("topk", 40, 80, k=2)})
    with pytest.raises(EditError, match="encode"):
        lens.splice({POINT: torch.nn.Identity()})
    with pytest.raises(UnknownPointError):
        lens.splice({"blocks.9.hook_resid_post": sae})
    with pytest.raises(AxisError, match="feature"):
        spliced.run_with_hooks(ids, hooks={POINT: anylens.scale(2.0).on(feature=1)})
    with pytest.raises(ShapeError, match="hook_acts"):
        spliced.run_with_hooks(ids, hooks={ACTS: lambda value, at: value[..., :3]})
