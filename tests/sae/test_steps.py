"""Every variant's step has the losses and gradients of a dense reference written with plain autograd.

The tolerance is that of sums in another order: float64 1e-9, float32 2e-4 of the largest entry.
"""

import pytest
import torch
from torch import nn

from anylens.core.errors import LoadError, ShapeError
from anylens.sae import make
from anylens.sae.sparse_step import pre_activations

SIZES = [(5, 3, 8), (64, 16, 40), (33, 24, 200)]
SETTINGS = {
    "topk": {"k": 3},
    "batchtopk": {"k": 3},
    "matryoshka": {"k": 3},
    "standard": {"l1": 0.3},
    "jumprelu": {"l0": 0.1, "threshold": 0.2, "bandwidth": 0.3},
    "gated": {"l1": 0.3},
}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


def made(variant, size, dtype, seed=0):
    rows, d_in, d_sae = size
    sae = make(variant, d_in, d_sae, seed=seed, **SETTINGS[variant]).to(dtype)
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in sae.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=random).to(dtype))
        sae.constrain()
    return sae, torch.randn(rows, d_in, generator=random).to(dtype)


def reference(sae, x, dead):
    """The loss, dense, from the papers."""
    pre = (x - sae.b_dec) @ sae.encoder.T + sae.b_enc
    kind = sae.variant

    def error(acts, decoder=sae.decoder, bias=sae.b_dec, target=x):
        return (acts @ decoder + bias - target).pow(2).sum(1).mean()

    if kind in ("topk", "batchtopk", "matryoshka"):
        flat = pre if kind != "batchtopk" else pre.reshape(1, -1)
        k = sae.k if kind != "batchtopk" else sae.k * len(x)
        mask = torch.zeros_like(flat).scatter(-1, flat.topk(k, dim=-1).indices, 1.0).reshape(pre.shape)
        acts = pre.relu() * mask
        loss = error(acts)
        for width in sae.widths[:-1] if kind == "matryoshka" else ():
            loss = loss + error(acts * (torch.arange(acts.shape[1]) < width))
        if dead.any():
            k = min(int(dead.sum()), max(1, sae.d_in // 2))
            hidden = pre.masked_fill(~dead, -torch.inf)
            among = torch.zeros_like(pre).scatter(-1, hidden.topk(k, dim=-1).indices, 1.0)
            left = (x - acts @ sae.decoder - sae.b_dec).detach()
            scale = sae.auxiliary * min(1.0, 2 * int(dead.sum()) / sae.d_in)
            loss = loss + scale * error(pre.relu() * among, bias=0, target=left)
        return loss
    if kind == "standard":
        acts = pre.relu()
        return error(acts) + sae.l1 * (acts * sae.decoder.norm(dim=1)).sum(1).mean()
    gate = pre.relu()
    magnitude = ((pre - sae.b_enc) * sae.r_mag.exp() + sae.b_mag).relu()
    acts = magnitude * (pre > 0)
    sparsity = sae.l1 * (gate * sae.decoder.norm(dim=1)).sum(1).mean()
    return error(acts) + sparsity + error(gate, sae.decoder.detach(), sae.b_dec.detach())


@pytest.mark.parametrize("dead_share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", [name for name in SETTINGS if name != "jumprelu"])
def test_losses_and_gradients_are_those_of_plain_autograd(variant, size, dtype, dead_share):
    sae, x = made(variant, size, dtype)
    dead = torch.arange(sae.d_sae) < round(dead_share * sae.d_sae)
    wanted = reference(sae, x, dead)
    grads = torch.autograd.grad(wanted, list(sae.parameters()), allow_unused=True)
    terms = sae.step(x, dead, 1.0)
    assert float(terms.loss) == pytest.approx(float(wanted.detach()), rel=1e-5)
    for (name, weight), grad in zip(sae.named_parameters(), grads, strict=True):
        largest = max(float(grad.abs().max()), 1e-6)
        assert (weight.grad - grad).abs().max() <= TOLERANCE[dtype] * largest, name


def test_a_jump_has_the_pseudo_derivatives_of_the_paper():
    sae, x = made("jumprelu", (40, 6, 12), torch.float64)
    sae.step(x, torch.zeros(12, dtype=torch.bool), 1.0)
    with torch.no_grad():
        pre = ((x - sae.b_dec) @ sae.encoder.T + sae.b_enc).relu()
        acts = pre * (pre > sae.threshold)
        error = 2 / len(x) * (acts @ sae.decoder + sae.b_dec - x)
        near = ((pre - sae.threshold).abs() < sae.bandwidth / 2) / sae.bandwidth
        wanted = -(sae.threshold * near * (error @ sae.decoder.T)).sum(0) - sae.l0 / len(x) * near.sum(0)
        assert near.any()
    torch.testing.assert_close(sae.threshold.grad, wanted)


def test_batch_topk_selects_exactly():
    sae, x = made("batchtopk", (50, 8, 30), torch.float32)
    with torch.no_grad():
        selected = sae._select(x - sae.b_dec)
    pre = pre_activations(sae, x - sae.b_dec).detach()
    chosen = torch.zeros_like(pre).scatter_add(1, selected.pairs.latents, selected.pairs.values)
    edge = pre.flatten().topk(3 * 50).values.min()
    assert torch.equal(chosen, torch.where(pre >= edge, pre, 0.0).relu())
    x[7] = 50.0  # one row takes more than its share
    with torch.no_grad():
        values = sae._select(x - sae.b_dec).pairs.values
    assert int((values > 0).sum()) <= 150


def test_the_activations_in_use_are_those_of_the_definition():
    sae, x = made("topk", (9, 6, 20), torch.float32)
    acts = sae.encode(x)
    assert int((acts > 0).sum(1).max()) <= 3
    pre = sae.pre(x)
    assert torch.equal(acts.max(1).values, pre.max(1).values.relu())
    assert torch.equal(sae.encode(x[None])[0], acts)
    sae.scale.fill_(4.0)
    torch.testing.assert_close(sae(x / 4) * 4, sae.decode(sae.encode(x / 4)) * 4)
    torch.testing.assert_close(sae.encode(x / 4), acts)


def test_the_decoder_keeps_its_norm_and_its_gradient_leaves_it():
    sae, x = made("topk", (64, 16, 40), torch.float32)
    sae.step(x, torch.zeros(40, dtype=torch.bool), 0.0)
    sae.project()
    assert (sae.decoder.grad * sae.decoder).sum(1).abs().max() < 1e-5
    with torch.no_grad():
        sae.decoder.mul_(3)
    sae.constrain()
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(40))


def test_what_cannot_be_made():
    with pytest.raises(LoadError, match="topk"):
        make("topkk", 4, 8)
    with pytest.raises(LoadError, match="does not take these settings"):
        make("topk", 4, 8, l1=2)
    for wrong in ({"k": 0}, {"k": 9}):
        with pytest.raises(ShapeError):
            make("topk", 4, 8, **wrong)
    with pytest.raises(ShapeError, match="widths rise"):
        make("matryoshka", 4, 8, k=2, widths=[4, 4, 8])
    with pytest.raises(ShapeError, match="rows of 4"):
        make("topk", 4, 8, k=2).encode(torch.zeros(3, 5))
    assert issubclass(type(make("topk", 4, 8, k=2)), nn.Module)
