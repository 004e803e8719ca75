"""The bfloat16 screen chooses what float32 chooses, on data made to break it too."""

import pytest
import torch

from anylens.sae import make
from anylens.sae.screen import ROUNDED, largest

ROWS, WIDTH, LATENTS, K = 64, 48, 400, 6


def encoder(seed=0):
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(LATENTS, WIDTH, generator=random)
    return weight / weight.norm(dim=1, keepdim=True), 0.1 * torch.randn(LATENTS, generator=random)


def plain(seed=1):
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed))


def huge_mean():
    """All rows nearly the same large vector: every pre-activation large, the differences in the last bits."""
    return plain() * 0.01 + 300.0 * plain(2)[:1]


def outlier_dimensions():
    x = plain()
    x[:, :2] *= 1e4
    return x


def near_ties():
    """Rows to which many latents are equally near."""
    weight, bias = encoder()
    return torch.linalg.lstsq(weight[:40], 5.0 - bias[:40, None]).solution.T + 1e-4 * plain()


@pytest.mark.parametrize("make_rows", [plain, huge_mean, outlier_dimensions, near_ties])
def test_the_choice_is_that_of_float32(make_rows):
    x, (weight, bias) = make_rows(), encoder()
    found = largest(x, weight, bias, K)
    pre = torch.addmm(bias, x, weight.T)
    wanted = pre.topk(K, dim=1).values.relu()
    scale = x.norm(dim=1, keepdim=True)
    assert bool(((found.values.relu() - wanted).abs() <= 1e-6 * scale).all())
    assert bool(((pre.gather(1, found.latents) - found.values).abs() <= 1e-6 * scale).all())


def test_bfloat16_alone_would_choose_otherwise():
    """The data do break a screen that is not checked."""
    weight, bias = encoder()
    for x in (huge_mean(), outlier_dimensions()):
        rough = (x.bfloat16() @ weight.bfloat16().T).float() + bias
        alone = rough.topk(K, dim=1).indices.sort(dim=1).values
        right = torch.addmm(bias, x, weight.T).topk(K, dim=1).indices.sort(dim=1).values
        assert not torch.equal(alone, right)


def test_rows_with_a_thin_margin_are_recomputed_and_no_others():
    weight, bias = encoder()
    weight[:, 0] = 0  # what no latent reads makes the rows large, and with them all that rounding could do
    unread = plain()
    unread[:20, 0] = 1e4
    assert largest(unread, weight, bias, K).recomputed >= 20
    spread = torch.zeros(LATENTS)
    spread[:40] = 100.0  # the first latents win by far
    assert largest(plain(), weight, spread, K).recomputed == 0


def test_the_bound_holds():
    for seed in range(5):
        x, (weight, _) = plain(seed) * 10 ** (seed - 2), encoder(seed)
        error = (x.bfloat16() @ weight.bfloat16().T).float() - x @ weight.T
        assert bool((error.abs() <= ROUNDED * x.norm(dim=1, keepdim=True) * weight.norm(dim=1)).all())


@pytest.mark.parametrize("variant", ["topk", "matryoshka"])
@pytest.mark.parametrize("dead", [False, True])
def test_a_step_with_the_screen_has_the_same_gradients(variant, dead):
    x = plain()
    numbers = torch.zeros(LATENTS, dtype=torch.bool)
    numbers[::3] = dead
    grads = []
    for screen in (False, True):
        sae = make(variant, WIDTH, LATENTS, k=K)
        sae.screen = screen
        terms = sae.step(x, numbers, 0.5)
        grads.append([terms.loss, *(weight.grad for weight in sae.parameters())])
    assert float(grads[0][0]) == pytest.approx(float(grads[1][0]), rel=1e-5)
    for one, other in zip(grads[0][1:], grads[1][1:], strict=True):
        assert torch.allclose(one, other, atol=1e-5)
