"""What a sweep of activation patching costs, against the plain loop of one whole forward for each cell."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.analysis.sweeping import prefix, sweep
from bench.lens import language_model
from bench.pairs import Row, compare, seconds

LAYERS, WIDTH, LENGTH = 12, 512, 16
POINTS = "blocks.*.hook_resid_pre"
METRIC = logit_difference(5, 6)


def rows(rounds: int) -> Iterator[tuple[Row, str]]:
    """Sweep layers and positions of a 12-layer model both ways; yield the times, and where ours go.

    Two pairs of inputs: prompts that differ in the token in their middle, as they do where one word is exchanged, and
    prompts that differ in all tokens. In the first pair the cells before that token put in what is there already.
    """
    model = language_model(LAYERS, WIDTH)
    torch.manual_seed(0)
    clean, other = torch.randint(3, 512, (2, 1, LENGTH))
    one_differs = clean.clone()
    one_differs[:, LENGTH // 2] = other[:, LENGTH // 2]
    lens = anylens.attach(model, clean)
    for what, corrupted, budget in (
        ("one token differs", one_differs, "ratio 0.2"),
        ("all tokens differ", other, ""),
    ):
        yield row(lens, clean, corrupted, what=what, budget=budget, rounds=rounds)


def row(
    lens: anylens.Lens, clean: Tensor, corrupted: Tensor, *, what: str, budget: str, rounds: int
) -> tuple[Row, str]:
    """Time one pair of inputs, after checking that both ways give the same numbers."""

    def ours() -> Tensor:
        return patching_sweep(lens, corrupted, source=clean, points=POINTS, metric=METRIC).values[0]

    def base() -> Tensor:
        return plain_loop(lens.model, clean, corrupted)

    expected = base()
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours(), expected, atol=1e-4, rtol=1e-4)
    name = f"{LAYERS} layers x {LENGTH} positions patched, {what} / a forward for each"
    found = compare(name, ours, base, rounds=rounds, budget=budget)
    return found, where_it_goes(ours, lens.model, corrupted, found)


@torch.no_grad()
def plain_loop(model: Any, clean: Tensor, corrupted: Tensor) -> Tensor:
    """Patch one layer and position at a time with a plain hook: a whole forward for each, of one row."""
    kept: list[Tensor] = []
    blocks = list(model.transformer.h)
    keep = [block.register_forward_pre_hook(lambda m, args: kept.append(args[0].clone())) for block in blocks]
    model(clean)
    for handle in keep:
        handle.remove()
    found = torch.empty(len(blocks), clean.shape[1])
    for layer, block in enumerate(blocks):
        for pos in range(clean.shape[1]):
            handle = block.register_forward_pre_hook(put(kept[layer], pos))
            found[layer, pos] = METRIC(model(corrupted))[0]
            handle.remove()
    return found


def put(source: Tensor, pos: int) -> Callable[[nn.Module, Any], Any]:
    """Return a plain hook that puts in one position of another run."""

    def hook(module: nn.Module, args: Any) -> Any:
        value = args[0].clone()
        value[:, pos] = source[:, pos]
        return (value, *args[1:])

    return hook


def where_it_goes(ours: Callable[[], Any], model: nn.Module, ids: Tensor, found: Row) -> str:
    """Say what of a sweep's time is the model's own, in such batches and from those layers on, and what is not."""
    forwards, finding = Watched(sweep, "_measured"), Watched(sweep, "prefix_of")
    base, metered = Watched(sweep, "base_of"), Watched(prefix, "_probe")
    watched = (forwards, finding, base, metered)
    try:
        total = seconds(ours)
    finally:
        for one in watched:
            one.stop()
    most = max(len(args[1]) for args in forwards.calls)
    cells = sum(len(args[1]) for args in forwards.calls)
    with torch.no_grad():
        whole = seconds(lambda: model(ids.repeat(most, 1))) * cells / most
    run = forwards.seconds
    rest = total - run - finding.seconds - base.seconds
    return (
        f"{found.what}: {1 / found.ratio:.1f} times faster. Of {LAYERS * LENGTH} cells {cells} run, "
        f"in {len(forwards.calls)} forwards of up to {most}. Of {total * 1e3:.0f} ms, {run * 1e3:.0f} are these "
        f"forwards (whole ones of such batches: {whole * 1e3:.0f}), {finding.seconds * 1e3:.0f} find out "
        f"what cells can share (of which runs of two cells {metered.seconds * 1e3:.0f}), {base.seconds * 1e3:.0f} the "
        f"run without edits, {rest * 1e3:.0f} the run patched from and the rest."
    )


@dataclass
class Watched:
    """A function of a module whose calls are timed until `stop`."""

    module: Any
    name: str

    def __post_init__(self) -> None:
        """Begin."""
        self.calls: list[tuple[Any, ...]] = []
        self.seconds, self.function = 0.0, getattr(self.module, self.name)
        setattr(self.module, self.name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and time it."""
        self.calls.append(args)
        start = time.perf_counter()
        result = self.function(*args, **kwargs)
        self.seconds += time.perf_counter() - start
        return result

    def stop(self) -> None:
        """Put the function back."""
        setattr(self.module, self.name, self.function)
