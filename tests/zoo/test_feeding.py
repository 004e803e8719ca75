"""Samples as models take them hold what the truth says of them."""

import torch

from anylens.zoo.feeding import LATENT, latents
from anylens.zoo.worlds.shapes import FACTORS, sample


def test_latents_ask_for_the_scenes():
    batch, first = sample(64, seed=1), 0
    made = latents(batch, seed=2)
    for factor, values in FACTORS.items():
        assert torch.equal(made[:, first : first + len(values)].argmax(1), batch.factors[factor])
        first += len(values)
    rightmost = batch.factors["cell"] % 3 == 2
    x, place = batch.centres[rightmost, 0], made[rightmost, first]
    large = (
        batch.factors["size"][rightmost] == 2
    )  # within one cell and size, further right means a larger number
    assert torch.equal(x[large].argsort(), place[large].argsort())
    assert torch.equal(latents(batch, seed=2), made)
    assert not torch.equal(latents(batch, seed=3), made)


def test_latents_of_random_scenes_are_normally_distributed():
    made = latents(sample(2000, seed=0), seed=0)
    assert made.shape == (2000, LATENT)
    assert made.mean(0).abs().max() < 0.1
    assert torch.allclose(made.std(0), torch.ones(LATENT), atol=0.1)
    off = torch.corrcoef(made.T) - torch.eye(LATENT)
    assert off.abs().max() < 0.12
