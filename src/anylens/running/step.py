"""A step: its number, and what is known of it. What calls a step is told apart by what the step module is given."""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import nn

from anylens.core import arguments
from anylens.core.errors import RunError

Kind = Literal["prefill", "decode", "denoise", "call"]

# what such arguments are called by the libraries whose models are run step by step
TIMES = ("timestep", "timesteps")
CACHES = ("past_key_values", "cache_params")
TOKENS = ("decoder_input_ids", "input_ids")


class Step(int):
    """The number of a step, which is an int, and what is known of that step.

    Attributes:
        kind: `prefill` (a prompt, into an empty cache), `decode` (what follows, with a cache), `denoise` (a call with a
            time of a noise schedule) or `call` (any other).
        timestep: the time on the noise schedule that the step module was called with; None where there is none.
        sigma: the noise level that the scheduler has for that time; None where it has none.
        tokens: the tokens that this step takes in, `[batch, pos]`: the prompt at first, then what was chosen last.
        conditional: for each row of the batch whether it follows the prompt (True) or is the unconditional half of
            classifier-free guidance (False); None where nothing says so.
        own: the number counts how often the point itself was reached, outside the steps of the lens.
    """

    kind: Kind
    timestep: float | None
    sigma: float | None
    tokens: torch.Tensor | None
    conditional: tuple[bool, ...] | None
    own: bool

    def __new__(cls, number: int, **known: Any) -> "Step":
        """Make a step; what is not said is not known."""
        step = super().__new__(cls, number)
        named = {"kind": "call", "timestep": None, "sigma": None, "tokens": None, "conditional": None}
        vars(step).update({**named, "own": False, **known})
        return step

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A step is not changed: {name} stays as it is.")

    @property
    def index(self) -> int:
        """The number, counted from 0."""
        return int(self)

    def knowing(self, **known: Any) -> "Step":
        """Return the step with more known of it."""
        return Step(int(self), **{**vars(self), **known})

    def __repr__(self) -> str:
        known = [f"{self.kind} {int(self)}"]
        known += [f"timestep {self.timestep:g}"] if self.timestep is not None else []
        known += [f"sigma {self.sigma:.4g}"] if self.sigma is not None else []
        return f"<{', '.join(known)}>"


ONLY = Step(0)  # the one step of a run that goes through the model once

Reader = Callable[[int, nn.Module, tuple[Any, ...], dict[str, Any]], Step]


def read_step(number: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
    """Say what a call of the step module shows of its step."""
    given = {str(name): value for name, value in arguments.named(module, args, kwargs)}
    time = next((given[name] for name in TIMES if given.get(name) is not None), None)
    known: dict[str, Any] = {"tokens": _tokens(given)}
    if time is not None:
        known |= {"kind": "denoise", "timestep": float(torch.as_tensor(time).flatten()[0])}
    elif (cache := next((given[name] for name in CACHES if given.get(name) is not None), None)) is not None:
        known["kind"] = "decode" if _holds_something(cache) else "prefill"
    elif given.get("use_cache") is True:
        known["kind"] = "prefill"  # the model makes the cache itself
    return Step(number, **known)


def _tokens(given: dict[str, Any]) -> torch.Tensor | None:
    found = next((given[name] for name in TOKENS if isinstance(given.get(name), torch.Tensor)), None)
    return found.detach().clone() if found is not None else None


def _holds_something(cache: Any) -> bool:
    """Whether a cache of keys and values, or of states, was filled by an earlier step."""
    if isinstance(cache, (tuple, list)):
        return len(cache) > 0
    for name in ("has_previous_state", "get_seq_length"):
        asked = getattr(cache, name, None)
        try:
            if callable(asked) and asked():
                return True
        except (AttributeError, ValueError, IndexError, StopIteration):  # a cache without layers of that kind
            continue
    return False


def timesteps(one: float, other: float) -> Callable[[Step], bool]:
    """Choose the steps whose timestep lies between two, ends included: `steps=anylens.timesteps(1000, 600)`."""
    return _between("timestep", one, other)


def sigmas(one: float, other: float) -> Callable[[Step], bool]:
    """Choose the steps whose noise level lies between two, ends included: `steps=anylens.sigmas(0.5, 2.0)`."""
    return _between("sigma", one, other)


def _between(what: str, one: float, other: float) -> Callable[[Step], bool]:
    try:
        low, high = sorted((float(one), float(other)))
    except (TypeError, ValueError):
        raise RunError(f"{what}s takes two numbers, and was given {one!r} and {other!r}.") from None

    def chosen(step: Step) -> bool:
        known = getattr(step, what, None)
        if known is None and getattr(step, "own", False):
            return False  # a component that runs beside the steps has no time
        if known is None:
            raise RunError(f"Steps were chosen by their {what}, and {step!r} has none.")
        return low <= cast(float, known) <= high

    return chosen
