"""What a lens costs: against the model alone, and against hooks written by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import anylens
from bench.pairs import Row, compare

Captured = dict[str, torch.Tensor]


def language_model(layers: int, width: int) -> GPT2LMHeadModel:
    """Return a random GPT-2."""
    shape = {"n_layer": layers, "n_embd": width, "n_head": width // 8 if width < 64 else width // 64}
    config = GPT2Config(**shape, vocab_size=512, n_positions=256, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).eval()


@contextmanager
def by_hand(modules: list[nn.Module], *, copy: bool) -> Iterator[Captured]:
    """Capture the modules' outputs with plain hooks, as one writes them oneself."""
    kept: Captured = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            kept[name] = output.detach().clone() if copy else output.detach()

        return hook

    handles = [module.register_forward_hook(keep(str(n))) for n, module in enumerate(modules)]
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
        yield from _no_points(model, lens, ids, rounds)
        yield from _captures(model, lens, ids, rounds)
        yield from _inside(model, lens, ids, rounds)
        yield from _fixed(rounds * 20)


def _no_points(model: nn.Module, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Iterator[Row]:
    def ours() -> None:
        with lens.hooks({}):
            model(ids)

    yield compare("no points / the model", ours, lambda: model(ids), rounds=rounds, budget="1")


def _captures(model: Any, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Iterator[Row]:
    blocks = list(model.transformer.h)
    every = [module for block in blocks for module in block.modules()]
    paths = {id(module): path for path, module in model.named_modules()}
    choices = {
        "1 block output": (blocks[6:7], ["blocks.6.hook_resid_post"]),
        "12 block outputs": (blocks, ["blocks.*.hook_resid_post"]),
        "the outputs of all 12 blocks' attention, MLP and norms": (
            [part for block in blocks for part in (block.ln_1, block.ln_2, block.mlp, block)],
            ["blocks.*.ln1.*", "blocks.*.ln2.*", "blocks.*.hook_mlp_out", "blocks.*.hook_resid_post"],
        ),
    }
    assert every and paths
    for what, (modules, points) in choices.items():

        def base(modules: list[nn.Module] = modules) -> None:
            with by_hand(modules, copy=True):
                model(ids)

        def ours(points: list[str] = points) -> None:
            lens.run_with_cache(ids, points=points)

        yield compare(f"{what} / hand-written hooks that copy", ours, base, rounds=rounds, budget="1.05")


def _inside(model: nn.Module, lens: anylens.Lens, ids: torch.Tensor, rounds: int) -> Iterator[Row]:
    heads = [f"blocks.*.attn.hook_{name}" for name in "qkvz"]
    cases = {
        "q, k, v, z of 12 layers / the model": (heads, False, ""),
        "resid_mid of 12 layers / the model": (["blocks.*.hook_resid_mid"], False, ""),
        "pattern of 12 layers / the model": (["blocks.*.attn.hook_pattern"], False, ""),
        "stop_early at block 6 / the model": (["blocks.5.hook_resid_post"], True, "about 0.5"),
    }
    for what, (points, early, budget) in cases.items():

        def ours(points: list[str] = points, early: bool = early) -> None:
            lens.run_with_cache(ids, points=points, stop_early=early)

        yield compare(what, ours, lambda: model(ids), rounds=rounds, budget=budget)


def _fixed(rounds: int) -> Iterator[Row]:
    """Time the overhead in microseconds where the model costs next to nothing."""
    tiny = language_model(2, 16)
    ids = torch.randint(3, 512, (1, 4))
    lens = anylens.attach(tiny, ids)
    blocks = list(tiny.transformer.h)
    for count, points in ((1, ["blocks.0.hook_resid_post"]), (2, ["blocks.*.hook_resid_post"])):
        row = compare(
            f"{count} point(s), two layers of width 16 / the model",
            lambda points=points: lens.run_with_cache(ids, points=points),  # type: ignore[misc]
            lambda: tiny(ids),
            rounds=rounds,
            budget=f"+{100 + 10 * count} us",
        )
        yield row
        extra = (row.ours - row.base) * 1e6
        yield Row(f"    of which ours beyond the model: {extra:.0f} us", row.ours - row.base, row.base, 0.0)
    assert blocks
