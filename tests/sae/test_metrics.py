"""Measures of autoencoders: each equals its definition written out, and tells good from bad."""

import pytest
import torch

import anylens
from anylens.core.errors import SaeError, ShapeError
from anylens.harvest import Batches, InMemory
from anylens.sae import make
from anylens.sae.metrics import agreement, neighbours, quality, recovered
from anylens.sae.truth import auroc, find_factors, share_over, steered
from tests import models

pytestmark = pytest.mark.filterwarnings("ignore")


def rows(count=300, width=12, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + 1.5


def test_quality_is_its_definition():
    x = rows()
    sae = make("topk", 12, 30, k=3).eval()
    sae.begin(x)
    found = quality(sae, Batches(InMemory(x), 64))
    acts, recon = sae.encode(x), sae(x)
    assert found.rows == 300
    assert found.l0 == pytest.approx(float((acts > 0).sum(1).float().mean()))
    assert torch.allclose(found.density, (acts > 0).float().mean(0))
    spread = float((x - x.mean(0)).pow(2).sum())
    assert found.fvu == pytest.approx(float((recon - x).pow(2).sum()) / spread, rel=1e-4)
    assert found.dead == int(((acts > 0).sum(0) == 0).sum())
    assert found.dense == int(((acts > 0).float().mean(0) > 0.1).sum())
    assert found.explained_variance == pytest.approx(1 - found.fvu)
    with pytest.raises(SaeError, match="no rows"):
        quality(sae, [])


def test_what_is_recovered_is_the_loss_with_the_reconstruction():
    torch.manual_seed(0)
    model, example = models.gpt2()
    lens = anylens.attach(model, example)
    point = "blocks.0.hook_resid_post"
    width = lens.points[point].shape[-1]
    ids = torch.randint(0, model.config.vocab_size, (2, 6))
    data = [{"input_ids": ids, "labels": ids}]

    def loss(output, given):
        return output.loss

    perfect = make("standard", width, 2 * width, l1=0.0).eval()
    with torch.no_grad():
        perfect.encoder.copy_(torch.cat([torch.eye(width), -torch.eye(width)]))
        perfect.decoder.copy_(perfect.encoder)
    found = recovered(lens, point, perfect, data, loss)
    assert found.clean == pytest.approx(float(model(**data[0]).loss))
    assert found.share == pytest.approx(1.0, abs=1e-3)
    empty = make("standard", width, 4, l1=0.0).eval()
    with torch.no_grad():
        empty.b_enc.fill_(-1e9)
    assert recovered(lens, point, empty, data, loss).share == pytest.approx(0.0, abs=1e-3)


def test_agreement_finds_the_same_directions_in_another_order():
    one, other = make("topk", 8, 16, k=2, seed=0), make("topk", 8, 16, k=2, seed=1)
    assert float(agreement(one, one).min()) == pytest.approx(1.0)
    assert float(agreement(one, other).mean()) < 0.95
    with torch.no_grad():
        other.decoder.copy_(one.decoder.flip(0))
    assert torch.allclose(agreement(one, other), torch.ones(16), atol=1e-6)
    nearest = neighbours(one, 3, 2)
    unit = one.decoder / one.decoder.norm(dim=1, keepdim=True)
    cosine = (unit @ unit[3]).detach()
    cosine[3] = -2
    assert nearest[0][0] == int(cosine.argmax())
    with pytest.raises(SaeError, match="widths|rows of"):
        agreement(one, make("topk", 9, 16, k=2))


def test_auroc_is_the_share_of_pairs_in_order():
    scores = torch.tensor([[0.0, 1.0], [0.0, 0.0], [2.0, 0.5], [1.0, 0.0], [0.0, 0.0]])
    positive = torch.tensor([True, False, True, False, False])
    wanted = []
    for column in scores.T:
        pairs = [(a, b) for a in column[positive] for b in column[~positive]]
        wanted.append(sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs))
    assert torch.allclose(auroc(scores, positive), torch.tensor(wanted))
    assert bool(auroc(scores, torch.zeros(5, dtype=torch.bool)).isnan().all())
    with pytest.raises(ShapeError):
        auroc(scores, positive[:3])


def test_factors_are_found_where_they_are_and_not_in_noise():
    random = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (600,), generator=random)
    other = torch.randint(-1, 2, (600,), generator=random)
    acts = torch.rand(600, 50, generator=random)
    acts[:, 7] = (label == 1) * (1 + torch.rand(600, generator=random))
    found = find_factors(acts, {"colour": label, "size": other}, torch.arange(600) // 3)
    by = {(one.factor, one.value): one for one in found}
    assert set(by) == {("colour", 0), ("colour", 1), ("colour", 2), ("size", 0), ("size", 1)}
    assert by["colour", 1].feature == 7
    assert by["colour", 1].auroc == pytest.approx(1.0)
    assert by["colour", 1].control < 0.65
    assert by["size", 0].auroc < 0.65
    assert share_over(found) == pytest.approx(0.2)


def test_a_feature_that_fits_one_half_by_chance_is_not_credited():
    """Chosen in one half, scored in the other: a perfect score by luck in the first does not count."""
    random = torch.Generator().manual_seed(1)
    label = torch.randint(0, 2, (40,), generator=random)
    acts = torch.rand(40, 5000, generator=random)
    (zero, one) = find_factors(acts, {"x": label}, torch.arange(40))
    assert zero.auroc < 0.85
    assert one.auroc < 0.85


def test_steering_is_counted_where_something_could_change():
    before = {"colour": torch.tensor([0, 1, 1, 2]), "shape": torch.tensor([0, 1, 0, 1])}
    after = {"colour": torch.tensor([0, 0, 0, 2]), "shape": torch.tensor([1, 1, 0, 0])}
    found = steered(before, after, "colour", 0)
    assert found.outputs == 3
    assert found.changed == pytest.approx(2 / 3)
    assert found.kept == pytest.approx(2 / 3)
    assert steered({"c": torch.zeros(2)}, {"c": torch.zeros(2)}, "c", 0).outputs == 0
