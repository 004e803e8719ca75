"""Steering along features and directions: what it does is what arithmetic by hand does, where it was told to."""

import pytest
import torch

import anylens
from anylens.core.errors import EditError, ShapeError, StoreError
from anylens.sae import make
from tests import models

pytestmark = pytest.mark.filterwarnings("ignore")
POINT = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lens():
    torch.manual_seed(0)
    model, example = models.gpt2()
    return anylens.attach(model, example)


@pytest.fixture(scope="module")
def ids(lens):
    return torch.randint(0, lens.model.config.vocab_size, (2, 6), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sae(lens):
    made = make("topk", lens.points[POINT].shape[-1], 32, k=6, seed=1).eval()
    made.scale.fill_(0.25)
    return made


def steered(lens, ids, hook):
    with lens.hooks({POINT: hook}):
        _, cache = lens.run_with_cache(ids, points=POINT)
    return cache[POINT]


def test_add_adds_units_of_activation(lens, ids, sae):
    _, cache = lens.run_with_cache(ids, points=POINT)
    feature = sae.feature(3)
    got = steered(lens, ids, anylens.steer(feature, 5.0).on(pos=[1, 4]))
    wanted = cache[POINT].clone()
    wanted[:, [1, 4]] += 5.0 * sae.decoder[3].detach() / 0.25
    assert torch.allclose(got, wanted)
    added = sae.pre(got * sae.scale)[..., 3] - sae.pre(cache[POINT] * sae.scale)[..., 3]
    assert torch.allclose(added[:, [1, 4]], torch.tensor(5.0), atol=1e-4)  # encoder and decoder are tied yet
    assert torch.allclose(added[:, [0, 2, 3, 5]], torch.tensor(0.0), atol=1e-4)


@pytest.mark.parametrize(("how", "wanted"), [("clamp", lambda acts: 7.0), ("scale", lambda acts: 7.0 * acts)])
def test_clamp_and_scale_change_one_feature_alone(lens, ids, sae, how, wanted):
    """The same as editing the spliced feature with the error kept."""
    _, cache = lens.run_with_cache(ids, points=POINT)
    number = int(sae.encode(cache[POINT]).sum((0, 1)).argmax())
    got = steered(lens, ids, anylens.steer(sae.feature(number), 7.0, how=how))
    acts = sae.encode(cache[POINT])
    acts[..., number] = wanted(acts[..., number])
    error = cache[POINT] - sae(cache[POINT])
    assert torch.allclose(got, sae.decode(acts) + error, atol=1e-5)


def test_along_a_direction(lens, ids):
    _, cache = lens.run_with_cache(ids, points=POINT)
    direction = torch.randn(cache[POINT].shape[-1], generator=torch.Generator().manual_seed(3))
    assert torch.allclose(
        steered(lens, ids, anylens.steer(direction, 2.0)), cache[POINT] + 2 * direction, atol=1e-6
    )
    clamped = steered(lens, ids, anylens.steer(direction, 2.0, how="clamp"))
    along = clamped @ direction / direction.norm() ** 2
    assert torch.allclose(along, torch.tensor(2.0), atol=1e-5)
    tripled = steered(lens, ids, anylens.steer(direction, 3.0, how="scale"))
    assert torch.allclose(tripled @ direction, 3 * cache[POINT] @ direction, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", [0.1, 1.0, 30.0])
def test_clamp_feature_takes_a_direction_of_any_length(lens, ids, sae, length):
    direction = torch.randn(lens.points[POINT].shape[-1], generator=torch.Generator().manual_seed(3))
    unit = direction / direction.norm()
    clamped = steered(lens, ids, anylens.clamp_feature(length * unit, 2.0).on(pos=slice(2, None)))
    _, cache = lens.run_with_cache(ids, points=POINT)
    assert torch.allclose(clamped[:, 2:] @ unit, torch.tensor(2.0), atol=1e-5)
    assert torch.equal(clamped[:, :2], cache[POINT][:, :2])
    left = cache[POINT] - (cache[POINT] @ unit)[..., None] * unit
    assert torch.allclose(clamped[:, 2:] - 2 * unit, left[:, 2:], atol=1e-5)
    as_feature, as_steered = (
        steered(lens, ids, hook)
        for hook in (
            anylens.clamp_feature(sae.feature(3), 2.0),
            anylens.steer(sae.feature(3), 2.0, how="clamp"),
        )
    )
    assert torch.equal(as_feature, as_steered)


def test_on_a_map_and_a_region_of_it():
    torch.manual_seed(0)
    model, example = models.resnet()
    lens = anylens.attach(model, example)
    point = next(name for name, p in lens.points.canonical.items() if "channel" in p.axes)
    width = lens.points[point].shape[1]
    sae = make("topk", width, 2 * width, k=2).eval()
    _, cache = lens.run_with_cache(**example, points=point)
    with lens.hooks({point: anylens.steer(sae.feature(1), 4.0).on(height=0, width=slice(0, 1))}):
        _, edited = lens.run_with_cache(**example, points=point)
    change = edited[point] - cache[point]
    assert torch.allclose(
        change[:, :, 0, 0], 4.0 * sae.decoder[1].detach().expand(len(change), -1), atol=1e-5
    )
    change[:, :, 0, 0] = 0
    assert not bool(change.any())


def test_the_difference_of_means_is_steered_along_as_it_is(lens, ids):
    other = (ids + 1) % lens.model.config.vocab_size
    sides = [ids], [other[:1], other[1:]]
    found = anylens.difference_of_means(lens, *sides, points=POINT, positions=[-1])[POINT]
    _, a = lens.run_with_cache(ids, points=POINT)
    _, b = lens.run_with_cache(other, points=POINT)
    assert torch.allclose(found, a[POINT][:, -1].mean(0) - b[POINT][:, -1].mean(0), atol=1e-6)
    moved = steered(lens, other, anylens.steer(found, 1.0).on(pos=-1))
    assert torch.allclose(moved[:, -1].mean(0), a[POINT][:, -1].mean(0), atol=1e-5)


def test_bad_input_is_named(lens, ids, sae):
    with pytest.raises(EditError, match="'push'"):
        anylens.steer(sae.feature(1), 1.0, how="push")
    with pytest.raises(ShapeError, match="latents 0 to 31"):
        sae.feature(32)
    with pytest.raises(EditError, match="length 0"):
        anylens.steer(torch.zeros(8), 1.0)
    with pytest.raises(EditError, match="length 0"):
        anylens.clamp_feature(torch.zeros(8), 1.0)
    with pytest.raises(ShapeError, match=r"\[d_in\]"):
        anylens.steer(torch.zeros(8, 2), 1.0)
    with pytest.raises(ShapeError, match="d_model"):
        steered(lens, ids, anylens.steer(sae.feature(1), 1.0).on(d_model=slice(0, 3)))
    with pytest.raises(StoreError, match="no inputs"):
        anylens.difference_of_means(lens, [], [ids], points=POINT)
