"""The tuned lens: the logit lens with an affine map before it for each layer, trained to say what the model will say.

Layers do not write in one basis; the logit lens reads early ones wrongly where these turn away from the last. (Belrose
et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens", https://arxiv.org/abs/2303.08112.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.logit_lens import LogitLens, divergence, state_points
from anylens.analysis.streams.parts import stream_with_head
from anylens.analysis.streams.readout import Readout, read_out
from anylens.core.errors import RunError
from anylens.lens import Lens
from anylens.running.examples import as_arguments


@dataclass(frozen=True, kw_only=True)
class TunedSettings:
    """How a tuned lens is fitted.

    steps: of Adam. rows: positions in each. learning_rate: at first; it falls to zero along a line. held_out: the share
    of the inputs that the divergences are measured on and that are not trained on.
    """

    steps: int = 400
    rows: int = 512
    learning_rate: float = 1e-2
    held_out: float = 0.25
    seed: int = 0


@dataclass(frozen=True)
class TunedLens:
    """An affine map for each state, `x + x @ weight + bias`, before the model's own norm and head.

    before, after: KL(model, lens) in nats on inputs that were held out, as a mean over positions: by the logit lens,
    and by this one.
    """

    points: tuple[str, ...]
    weight: Float[Tensor, "point d_model d_model"]
    bias: Float[Tensor, "point d_model"]
    before: Float[Tensor, "point"]
    after: Float[Tensor, "point"]

    @torch.no_grad()
    def read(self, lens: Lens, inputs: Any) -> LogitLens:
        """Read every state of a run, as `logit_lens` does."""
        readout, states = _states(lens, inputs, list(self.points))
        logits = torch.stack([_read(readout, self.weight[n], self.bias[n], x) for n, x in enumerate(states)])
        return LogitLens(self.points, logits, readout.final, readout.exact)


def fit_tuned_lens(
    lens: Lens,
    data: Sequence[Any],
    *,
    points: str | Iterable[str] = (),
    settings: TunedSettings | None = None,
) -> TunedLens:
    """Train a tuned lens on inputs, each as `run_with_cache` takes it; those at the end of `data` are held out.

    (Belrose et al. 2023, https://arxiv.org/abs/2303.08112.)

    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> texts = ["the kings near the queen", "a quiet duke", "some queens", "the king that"]
    >>> data = [lens.processor(text, return_tensors="pt").input_ids for text in texts]
    >>> tuned = fit_tuned_lens(lens, data, settings=TunedSettings(steps=20, learning_rate=1e-3))
    >>> list(tuned.weight.shape), list(tuned.read(lens, data[0]).logits.shape)
    ([4, 64, 64], [4, 1, 6, 141])

    Raises RunError for fewer than two inputs, and as `logit_lens` does.
    """
    settings = settings or TunedSettings()
    held = max(1, round(settings.held_out * len(data)))
    if len(data) < 2 or held >= len(data):
        raise RunError(
            f"A tuned lens needs inputs to train on and others to hold out, and was given {len(data)}."
        )
    names = state_points(lens, stream_with_head(lens), points)
    readout, rows, said = _collect(lens, data[: len(data) - held], names)
    _, other, other_said = _collect(lens, data[len(data) - held :], names)
    with torch.enable_grad():
        weight, bias = _trained(readout, rows, said, settings)
    untouched = torch.zeros_like(weight), torch.zeros_like(bias)
    before, after = (_divergences(readout, other, other_said, *maps) for maps in (untouched, (weight, bias)))
    return TunedLens(tuple(names), weight, bias, before, after)


@torch.no_grad()
def _states(lens: Lens, inputs: Any, names: list[str]) -> tuple[Readout, Tensor]:
    """Run the lens and return its readout with the states, `[point, batch, pos, d_model]`."""
    readout, cache = read_out(lens, stream_with_head(lens), as_arguments(inputs), names)
    return readout, torch.stack([cache[name] for name in names])


def _collect(lens: Lens, data: Sequence[Any], names: list[str]) -> tuple[Readout, Tensor, Tensor]:
    """Return the readout, the states of all positions, `[point, row, d_model]`, and what the model says at each."""
    found = [_states(lens, inputs, names) for inputs in data]
    rows = torch.cat([states.flatten(1, 2) for _, states in found], 1)
    return found[0][0], rows, torch.cat([readout.final.flatten(0, 1) for readout, _ in found])


def _read(readout: Readout, weight: Tensor, bias: Tensor, states: Tensor) -> Tensor:
    return readout(states + states @ weight + bias)


def _trained(
    readout: Readout, rows_PRD: Tensor, said: Tensor, settings: TunedSettings
) -> tuple[Tensor, Tensor]:
    """Return the maps that bring the divergence down, one for each point, from maps that change nothing."""
    points, count, width = rows_PRD.shape
    weight = torch.zeros(points, width, width).to(rows_PRD).requires_grad_()
    bias = torch.zeros(points, width).to(rows_PRD).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / settings.steps)
        chosen = torch.randint(count, (settings.rows,), generator=generator).to(rows_PRD.device)
        loss = torch.stack(
            [
                divergence(said[chosen], _read(readout, weight[n], bias[n], rows_PRD[n, chosen])).mean()
                for n in range(points)
            ]
        ).sum()
        weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
        optimizer.step()
    return weight.detach(), bias.detach()


@torch.no_grad()
def _divergences(
    readout: Readout, rows_PRD: Tensor, said: Tensor, weight: Tensor, bias: Tensor
) -> Float[Tensor, "point"]:
    each = [
        divergence(said, _read(readout, weight[n], bias[n], rows)).mean() for n, rows in enumerate(rows_PRD)
    ]
    return torch.stack(each)
