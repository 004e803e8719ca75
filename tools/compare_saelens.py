"""Beside SAELens: do its files and ours give the same outputs, both ways, and how do the TopK steps compare?

    make compare-saelens

Runs in an environment of its own, which has sae-lens (https://github.com/decoderesearch/SAELens, MIT).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sae_lens import SAE
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig

from anylens.sae import load, make, save

SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {"l1": 0.1},
    "topk": {"k": 8},
    "batchtopk": {"k": 8},
    "jumprelu": {"l0": 0.1},
    "gated": {"l1": 0.1},
    "matryoshka": {"k": 8},
}
THEIRS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "standard": (StandardSAE, StandardSAEConfig, {}),
    "topk": (TopKSAE, TopKSAEConfig, {"k": 8, "rescale_acts_by_decoder_norm": False}),
    "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {}),
    "gated": (GatedSAE, GatedSAEConfig, {}),
}
SIZES = ((256, 4096), (768, 16384))
K, BATCH, ROUNDS = 32, 4096, 5
TOLERANCE = 1e-4  # of the largest entry: products summed in another order


def rows(count: int, width: int) -> torch.Tensor:
    """Return rows with a mean, as activations have one."""
    random = torch.Generator().manual_seed(0)
    return 3 * torch.randn(count, width, generator=random) + torch.randn(width, generator=random)


@torch.no_grad()
def furthest(ours: Any, theirs: Any, x: torch.Tensor) -> float:
    """Return the largest difference of activations and of reconstructions, in proportion."""
    found = 0.0
    for one, other in ((ours.encode(x), theirs.encode(x)), (ours(x), theirs(x))):
        found = max(found, float((one - other).abs().max() / other.abs().max().clamp_min(1e-9)))
    return found


def files() -> bool:
    """Write with one library and read with the other, for every variant; return whether all outputs agree."""
    x, fine = rows(200, 24), True
    with tempfile.TemporaryDirectory() as folder:
        for variant, settings in SETTINGS.items():
            ours = make(variant, 24, 96, **settings).eval()
            ours.begin(x)
            if variant == "batchtopk":
                ours.threshold.fill_(0.7)
            place = save(ours, Path(folder, "ours", variant))
            apart = furthest(ours, SAE.load_from_disk(place), x)
            print(f"{variant:<11} ours read by SAELens: {apart:.1e} apart")
            fine = fine and apart < TOLERANCE
        for variant, (made, config, more) in THEIRS.items():
            torch.manual_seed(1)
            theirs = made(config(d_in=24, d_sae=96, device="cpu", dtype="float32", **more))
            with torch.no_grad():
                for weight in theirs.parameters():
                    weight.add_(0.1 * torch.randn_like(weight))
            place = Path(folder, "theirs", variant)
            theirs.save_model(place)
            apart = furthest(load(place), theirs, x)
            print(f"{variant:<11} SAELens's read by us: {apart:.1e} apart")
            fine = fine and apart < TOLERANCE
    return fine


def our_step(d_in: int, d_sae: int, x: torch.Tensor) -> tuple[Any, Callable[[], float]]:
    """Return our TopK autoencoder and a whole step of its training."""
    sae = make("topk", d_in, d_sae, k=K)
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-4, fused=True)
    dead = torch.zeros(d_sae, dtype=torch.bool)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        terms = sae.step(x, dead, 0.5)
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        return float(terms.loss)

    return sae, step


def their_step(sae: Any, d_in: int, d_sae: int, x: torch.Tensor) -> Callable[[], float]:
    """Return a whole step of SAELens's TopK, begun from the same weights."""
    config = TopKTrainingSAEConfig(
        d_in=d_in, d_sae=d_sae, k=K, device="cpu", dtype="float32", rescale_acts_by_decoder_norm=False
    )
    theirs = TopKTrainingSAE(config)
    with torch.no_grad():
        theirs.W_enc.copy_(sae.encoder.T)
        theirs.W_dec.copy_(sae.decoder)
        theirs.b_enc.copy_(sae.b_enc)
        theirs.b_dec.copy_(sae.b_dec)
    optimiser = torch.optim.Adam(theirs.parameters(), lr=1e-4)
    given = TrainStepInput(
        sae_in=x, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False
    )

    def step() -> float:
        optimiser.zero_grad()
        loss = theirs.training_forward_pass(given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimiser.step()
        return float(loss.detach())

    return step


def floor(sae: Any, x: torch.Tensor) -> Callable[[], None]:
    """Return what no step can do without: the encoder's product, and the choice of the largest."""

    @torch.no_grad()
    def step() -> None:
        torch.addmm(sae.b_enc, x, sae.encoder.T).topk(K, dim=1, sorted=False)

    return step


def steps(rounds: int) -> None:
    """Time both and the floor, one after the other in each round, and print medians and ratios."""
    for d_in, d_sae in SIZES:
        x = rows(BATCH, d_in)
        sae, ours = our_step(d_in, d_sae, x)
        theirs, least = their_step(sae, d_in, d_sae, x), floor(sae, x)
        losses = ours(), theirs()
        spent: tuple[list[float], ...] = ([], [], [])
        for _ in range(rounds):
            for step, times in zip((ours, theirs, least), spent, strict=True):
                began = time.perf_counter()
                step()
                times.append(time.perf_counter() - began)
        mine, other, bare = (statistics.median(times) for times in spent)
        print(
            f"{d_in} -> {d_sae}, k={K}, batch {BATCH}: ours {mine * 1e3:.0f} ms, SAELens {other * 1e3:.0f} ms, "
            f"ratio {other / mine:.2f}; encoder and top-k alone {bare * 1e3:.0f} ms, ours {mine / bare:.2f} of that; "
            f"first losses {losses[0]:.4f} and {losses[1]:.4f}",
            flush=True,
        )


def main() -> int:
    """Compare; return 1 if outputs differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    fine = files()
    steps(given.rounds)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
