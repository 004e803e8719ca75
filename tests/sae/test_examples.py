"""Strongest examples: the largest activations, each with where its row is from."""

import torch

from anylens.harvest import Batches, InMemory
from anylens.sae import make
from anylens.sae.examples import strongest


def test_they_are_the_largest_and_know_their_rows():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(500, 10, generator=random)
    sample, where = torch.arange(500) // 5, torch.stack([torch.arange(500) % 2, torch.arange(500) % 5], 1)
    sae = make("topk", 10, 24, k=4).eval()
    acts = sae.encode(x)
    batches = Batches(InMemory(x, sample, where.int()), 64)
    found = strongest(sae, batches, [3, 8], count=6, apart=False)
    for number, examples in found.items():
        wanted = acts[:, number].topk(6)
        assert torch.allclose(torch.tensor([one.strength for one in examples]), wanted.values)
        for one, row in zip(examples, wanted.indices.tolist(), strict=True):
            assert (one.sample, one.step, one.position) == (row // 5, row % 2, (row % 5,))


def test_apart_shows_each_sample_once():
    x = torch.ones(40, 4) * torch.linspace(1, 2, 40)[:, None]
    sae = make("topk", 4, 6, k=1).eval()
    (number,) = [n for n in range(6) if float(sae.encode(x)[:, n].detach().max()) > 0][:1]
    found = strongest(sae, Batches(InMemory(x, torch.arange(40) // 10), 16), [number], count=8)[number]
    assert [one.sample for one in found] == [3, 2, 1, 0]
