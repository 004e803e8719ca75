"""Lenses on pipelines: several models that one call runs, one of them step by step.

Each model that the call enters becomes a part with a lens of its own, known by its path (`unet`, `text_encoder`,
`vae.decoder`). The lens on the pipeline has the points of all parts, each name behind the path of its part.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import signature
from typing import Any

import torch
from torch import nn

from anylens.anatomy.joined import joined, within
from anylens.anatomy.known import key_of, recall
from anylens.anatomy.lookup import Points
from anylens.anatomy.observe import own_copy
from anylens.core import arguments
from anylens.core.errors import AttachError, RunError
from anylens.families.family import Family, stand_ins_of
from anylens.families.registry import family_for
from anylens.lens import Lens
from anylens.running.clock import Clock, step_module
from anylens.running.entries import Entry, entries
from anylens.running.examples import Arguments
from anylens.running.run import Run, Tally
from anylens.running.sites import Plan, Site
from anylens.running.splices import points_inside
from anylens.running.step import TIMES, Step
from anylens.running.wiring import module_at

ROUNDED = 2**-7  # what bfloat16, twice, makes of a number at most, in proportion
FEW_STEPS = 4  # of denoising, while a pipeline is watched: some schedulers make no fewer


def is_pipeline(model: Any) -> bool:
    """Whether something is a pipeline: no module itself, but callable, and made of modules."""
    return not isinstance(model, nn.Module) and callable(model) and bool(components(model))


def components(pipeline: Any) -> dict[str, nn.Module]:
    """Return the modules that a pipeline is made of, by name."""
    held = getattr(pipeline, "components", None)
    found = held if isinstance(held, Mapping) else vars(pipeline) if hasattr(pipeline, "__dict__") else {}
    return {name: module for name, module in found.items() if isinstance(module, nn.Module)}


class PipelineLens(Lens):
    """A lens on a pipeline. `model` is the pipeline; `parts` are lenses on the models that it runs, by path."""

    def __init__(self, pipeline: Any, *, family: Family | None = None) -> None:
        super().__init__(pipeline, family=family)
        self.parts: dict[str, Lens] = {}
        self.examples: dict[str, Arguments] = {}  # what each part was given first
        self.step_part = ""

    def watch(self, given: Arguments, method: Any = None) -> Any:
        """Run the pipeline once, for few steps, see which models it enters, and watch each."""
        try:
            found = _seen(self.model, self._target(method), given)
        except Exception as error:
            error.add_note(f"anylens ran {type(self.model).__name__} once to watch it.")
            raise
        if not found:
            raise AttachError(
                f"The call never entered a model of {type(self.model).__name__}, so nothing could be watched."
            )
        for path, entry in found.items():
            self.examples[path] = entry.given
            family = family_for(entry.module)
            known = recall(key_of(entry.module, stand_ins_of(family, entry.module), entry.given[1]))
            self.parts[path] = lens = Lens(entry.module, anatomy=known, family=family)
            if known is None:
                lens.watch(entry.given)
        self.step_part = _denoiser(found)
        self._anatomy, self._points = joined({path: lens.anatomy for path, lens in self.parts.items()}), None
        return self._anatomy

    @property
    def points(self) -> Points:
        """The points of all parts. A name without a part is looked for in the part that runs step by step."""
        if self._points is None:
            aliases = {
                f"{path}.{alias}": f"{path}.{name}"
                for path, lens in self.parts.items()
                for alias, name in lens.points.aliases.items()
            }
            more, names = points_inside(self._splices)
            named = {**aliases, **self._aliases(), **names}
            self._points = Points(self.anatomy, named, home=self.step_part, more=more)
        return self._points

    def _aliases(self) -> Mapping[str, str]:
        return self.family.aliases if self.family is not None else {}

    def _expect_attached(self) -> None:
        """Refuse a pipeline whose models are others than those attached to: edits would have no effect."""
        super()._expect_attached()
        held = components(self.model)
        for path, lens in self.parts.items():
            name, _, inside = path.partition(".")
            if name not in held or module_at(held[name], inside) is not lens.model:
                raise RunError(
                    f"{path} of {type(self.model).__name__} is another module than the one attached to. Attach again."
                )

    def _target(self, method: Any) -> Any:
        found = getattr(self.model, method, None) if isinstance(method, str) else method or self.model
        if not callable(found):
            raise RunError(f"{type(self.model).__name__} has no method {method!r} to run.")
        return found

    def _runs(self, plan: Plan, *, stop_early: bool = False) -> list[Run]:
        """Give each part its share of a plan."""
        shares: dict[str, Plan] = {}
        for name, site in plan.by_name.items():
            path = self._part_of(site.point.tap.path)
            point = within(site.point, path)
            tap = point.tap if site.tap is site.point.tap else point.reader or point.tap
            share = shares.setdefault(path, Plan())
            share.by_name[name] = Site(point, tap, site.actions, site.edits)
        tally = Tally(stop_early=stop_early)
        parts = self.parts
        return [
            Run(parts[path].model, parts[path].anatomy, share, tally, parts[path].stand_ins)
            for path, share in shares.items()
        ]

    def _part_of(self, path: str) -> str:
        return max((part for part in self.parts if f"{path}.".startswith(f"{part}.")), key=len)

    def _clock(self, path: str | None = None) -> Clock:
        own = self.parts[self.step_part].model
        module = own if path is None else step_module(self._whole, path)
        return Clock(module, self._read_step)

    @property
    def _whole(self) -> nn.Module:
        """The components as the children of one module, to find paths in; it is never called."""
        whole = nn.Module()
        whole._modules.update(components(self.model))
        return whole

    def _read_step(
        self, number: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Step:
        """Add to what a call shows what the scheduler knows."""
        step = super()._read_step(number, module, args, kwargs)
        scheduler = self._scheduler()
        time = scheduled_time(scheduler, step.timestep)
        sigma = noise_level(scheduler, time)
        return step.knowing(timestep=time, sigma=sigma)

    def _scheduler(self) -> Any:
        found = getattr(self.model, "scheduler", None)
        return found if callable(getattr(found, "step", None)) else None


def scheduled_time(scheduler: Any, timestep: float | None) -> float | None:
    """Return the scheduler's own time that a model was called with: some are given it rounded, or as a share of all.

    Where both could be meant, as with 1, the place that the scheduler is at says which.
    """
    times, config = getattr(scheduler, "timesteps", None), getattr(scheduler, "config", None)
    if timestep is None or not isinstance(times, torch.Tensor) or not times.numel():
        return timestep
    found = []
    for scale in (1.0, float(getattr(config, "num_train_timesteps", 1.0))):
        place = int((times.double() - timestep * scale).abs().argmin())
        near = float(times[place])
        if abs(near - timestep * scale) <= ROUNDED * max(1.0, abs(near)):
            found.append((near, place))
    at = getattr(scheduler, "step_index", None) or getattr(scheduler, "begin_index", None) or 0
    known = [near for near, place in found if place == at] or [near for near, _ in found]
    return known[0] if known else timestep


def noise_level(scheduler: Any, timestep: float | None) -> float | None:
    """Return the standard deviation of the noise over that of the signal at a timestep, where a scheduler has it.

    It is the scheduler's own `sigmas` entry, or for schedulers by cumulative products of alphas sqrt((1 - a) / a).
    """
    times, levels = getattr(scheduler, "timesteps", None), getattr(scheduler, "sigmas", None)
    if timestep is None:
        return None
    if isinstance(levels, torch.Tensor) and isinstance(times, torch.Tensor) and len(levels) >= len(times):
        places = (times.double().cpu() - timestep).abs() < 1e-6 * max(1.0, abs(timestep))
        return float(levels[int(places.nonzero()[0])]) if places.any() else None
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if isinstance(alphas, torch.Tensor) and 0 <= timestep < len(alphas):
        kept = float(alphas[int(timestep)])
        return ((1 - kept) / kept) ** 0.5 if kept > 0 else None
    return None


def _denoiser(found: dict[str, Entry]) -> str:
    """Return the model whose calls are the steps: what is given a time, or else what is called most.

    Of several with a time it is the last before the first is called again: a model beside it that prepares what it
    takes, such as a control net, is called before it in each step.
    """
    timed = [path for path in found if _has_time(found[path])]
    if timed:
        timed = [path for path in timed if found[path].first <= found[timed[0]].second]
    most = max(found[path].count for path in timed or found)
    return [path for path in timed or found if found[path].count == most][-1 if timed else 0]


def _has_time(entry: Entry) -> bool:
    given = dict(arguments.named(entry.module, *entry.given))
    return any(given.get(name) is not None for name in TIMES)


def _seen(pipeline: Any, call: Callable[..., Any], given: Arguments) -> dict[str, Entry]:
    """Run a pipeline for few steps and return the first entry into each model; it stays as it was.

    Where so few leave nothing to do, as with a picture that keeps most of its strength, it runs for those asked for.
    """
    args, kwargs = given
    names = list(signature(call).parameters)[len(args) :]
    asked = int(kwargs.get("num_inference_steps") or FEW_STEPS + 1)
    if "num_inference_steps" in names and asked > FEW_STEPS:
        with suppress(Exception):  # the run as asked for will say
            return _entered(pipeline, call, (args, {**kwargs, "num_inference_steps": FEW_STEPS}))
    return _entered(pipeline, call, given)


def _entered(pipeline: Any, call: Callable[..., Any], given: Arguments) -> dict[str, Entry]:
    args, kwargs = own_copy(*given)
    with untouched(pipeline), torch.no_grad(), entries(components(pipeline)) as found:
        call(*args, **kwargs)
    return found


@contextmanager
def untouched(pipeline: Any) -> Iterator[None]:
    """Leave a pipeline's attributes, its scheduler and the random numbers as they were; show no progress."""
    scheduler = getattr(pipeline, "scheduler", None)
    held = dict(vars(pipeline))
    state = copy.deepcopy(vars(scheduler)) if hasattr(scheduler, "__dict__") else {}
    pipeline._progress_bar_config = {**(held.get("_progress_bar_config") or {}), "disable": True}
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            vars(pipeline).clear()
            vars(pipeline).update(held)
            if state:
                vars(scheduler).clear()
                vars(scheduler).update(state)
