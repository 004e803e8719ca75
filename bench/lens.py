"""What a lens costs: against the model alone, and against hooks written by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import anylens
from bench.pairs import Row, compare

HEADS = [f"blocks.*.attn.hook_{name}" for name in "qkvz"]


def language_model(layers: int, width: int) -> GPT2LMHeadModel:
    """Return a random GPT-2."""
    config = GPT2Config(
        n_layer=layers,
        n_embd=width,
        n_head=max(2, width // 64),
        vocab_size=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).eval()


@contextmanager
def by_hand(modules: list[nn.Module]) -> Iterator[dict[int, torch.Tensor]]:
    """Copy the modules' outputs with plain hooks, as one writes them oneself."""
    kept: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            kept[number] = output.detach().clone()

        return hook

    handles = [module.register_forward_hook(keep(number)) for number, module in enumerate(modules)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def rows(rounds: int) -> Iterator[Row]:
    """Measure the lens on a 12-layer model, and its fixed cost on a tiny one."""
    model = language_model(12, 512)
    ids = torch.randint(3, 512, (2, 128))
    lens = anylens.attach(model, ids)
    with torch.no_grad():
        yield no_points(model, lens, ids, rounds)
        yield from captures(model, lens, ids, rounds)
        yield from inside(model, lens, ids, rounds)
        yield from fixed_cost(rounds * 20)


def no_points(model: nn.Module, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Row:
    """A lens of which nothing is asked."""

    def ours() -> None:
        with lens.hooks({}):
            model(ids)

    return compare("no points / the model", ours, lambda: model(ids), rounds=rounds, budget="ratio 1")


def captures(model: Any, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Iterator[Row]:
    """Outputs of modules, which plain hooks can capture too."""
    blocks = list(model.transformer.h)
    parts = [part for block in blocks for part in (block.ln_1, block.ln_2, block.mlp, block)]
    names = ["blocks.*.ln1.*", "blocks.*.ln2.*", "blocks.*.hook_mlp_out", "blocks.*.hook_resid_post"]
    choices: list[tuple[str, list[nn.Module], list[str]]] = [
        ("1 block output", blocks[6:7], ["blocks.6.hook_resid_post"]),
        ("all 12 block outputs", blocks, ["blocks.*.hook_resid_post"]),
        ("48 outputs of norms, MLPs and blocks", parts, names),
    ]
    for what, modules, points in choices:

        def base(modules: list[nn.Module] = modules) -> None:
            with by_hand(modules):
                model(ids)

        def ours(points: list[str] = points) -> None:
            lens.run_with_cache(ids, points=points)

        yield compare(f"{what} / hooks by hand", ours, base, rounds=rounds, budget="ratio 1.05")


def inside(model: nn.Module, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Iterator[Row]:
    """What plain hooks cannot reach."""
    cases: list[tuple[str, list[str], bool, str]] = [
        ("q, k, v, z of 12 layers / the model", HEADS, False, "the fast path"),
        ("resid_mid of 12 layers / the model", ["blocks.*.hook_resid_mid"], False, ""),
        ("pattern of 12 layers / the model", ["blocks.*.attn.hook_pattern"], False, ""),
        ("stop_early after 6 of 12 blocks / the model", ["blocks.5.hook_resid_post"], True, "ratio near 0.5"),
    ]
    for what, points, early, budget in cases:

        def ours(points: list[str] = points, early: bool = early) -> None:
            lens.run_with_cache(ids, points=points, stop_early=early)

        yield compare(what, ours, lambda: model(ids), rounds=rounds, budget=budget)


def fixed_cost(rounds: int) -> Iterator[Row]:
    """The cost of a run where the model costs next to nothing."""
    tiny = language_model(2, 16)
    ids = torch.randint(3, 512, (1, 4))
    lens = anylens.attach(tiny, ids)
    choices = [
        ["blocks.0.hook_resid_post"],
        ["blocks.*.hook_resid_post"],
        ["blocks.*.hook_resid_*", "*.hook_*_out"],
    ]
    for points in choices:
        count = len(lens.points.select(points))

        def ours(points: list[str] = points) -> None:
            lens.run_with_cache(ids, points=points)

        what = f"{count} point{'s' if count > 1 else ''}, 2 layers of width 16 / the model"
        yield compare(what, ours, lambda: tiny(ids), rounds=rounds, budget=f"extra {0.1 + 0.01 * count:.2f}")
