"""A training under way: what changes from step to step, what is told of it, and how it is kept."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import SaeError
from anylens.core.progress import Progress
from anylens.sae.base import Sae, Terms
from anylens.sae.checkpoint import Held, held_of, read, take_back, write
from anylens.sae.logs import Log
from anylens.sae.ranks.parallel import Parallel
from anylens.sae.settings import Settings
from anylens.store.batches import Batches, Place

SAMPLE = 8  # batches from whose rows the scale and the decoder's bias begin


class Run:
    """A training, as one rank has it.

    Attributes:
        sae: the autoencoder, or this rank's part of it.
        step, rows: how many there were.
        idle: `[F]`, rows since each latent fired.
        logs: where a step's numbers go.
    """

    def __init__(
        self, sae: Sae, batches: Batches, settings: Settings, *, parallel: Parallel, file: Path | None
    ) -> None:
        self.sae, self.batches, self.settings = sae, batches, settings
        self.parallel, self.file = parallel, file
        self.logs: list[Log] = []
        self.step = self.rows = 0
        self.idle = torch.zeros(sae.d_sae, dtype=torch.int64, device=sae.encoder.device)
        self.optimiser = torch.optim.Adam(
            sae.parameters(),
            lr=settings.lr,
            betas=settings.betas,
            eps=1e-8,
            fused=sae.encoder.dtype == torch.float32,
        )

    def begin(self) -> None:
        """Set the scale and the bias from a sample of rows, and go back to the first of them."""
        place = self.batches.place()
        some = [rows.values for rows, _ in zip(self.batches, range(SAMPLE), strict=False)]
        self.batches.go_to(place)
        self.sae.begin(torch.cat(some).to(self.sae.encoder.device))

    def take(self, values: Tensor, shown: Progress) -> None:
        """Make one step."""
        sae, settings = self.sae, self.settings
        x_BD = self.parallel.own(values).to(sae.encoder.device, sae.encoder.dtype) * sae.scale
        dead = self.idle >= settings.dead_after
        self.optimiser.zero_grad(set_to_none=True)
        terms = sae.step(x_BD, dead, self.step / settings.steps)
        terms = self.parallel.combine(sae, terms, x_BD)
        numbers = self._numbers(terms, dead)
        sae.project()
        torch.nn.utils.clip_grads_with_norm_(sae.parameters(), settings.clip, self.parallel.norm(sae))
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(self.step)
        self.optimiser.step()
        sae.constrain()
        self.idle = (self.idle + len(values)).masked_fill_(terms.fired, 0)
        self.step += 1
        self.rows += len(values)
        self._tell(numbers, shown)
        if self.step % settings.save_every == 0:
            self.save()

    def _numbers(self, terms: Terms, dead: Tensor) -> dict[str, float]:
        """Return a step's numbers by name, read from the device at once, if they are sound."""
        counts = torch.stack([dead.sum(), (~dead | terms.fired).sum()])
        told = {"loss": terms.loss, **terms.parts, "fvu": terms.fvu, "l0": terms.l0}
        read_out = torch.cat([torch.stack(list(told.values())).double(), self.parallel.across.total(counts)])
        *values, dead_count, alive = read_out.tolist()
        numbers = {**dict(zip(told, values, strict=True)), "dead": int(dead_count)}
        if not numbers["loss"] < float("inf"):
            raise SaeError(
                f"The loss was {numbers['loss']} at step {self.step}. Look for rows that are not finite, lower the "
                f"learning rate ({self.settings.lr:g}), or give the rows another scale."
            )
        if not alive:
            raise SaeError(
                f"Every latent was dead at step {self.step}. Lower the learning rate ({self.settings.lr:g}) or what "
                "keeps latents few (l1, l0)."
            )
        return numbers

    def _tell(self, numbers: dict[str, float], shown: Progress) -> None:
        done = self.step / self.settings.steps
        more = "loss {loss:.4g}, FVU {fvu:.3f}, L0 {l0:.1f}, {dead} dead".format(**numbers)
        shown.tell(self.rows, done, f", {more}")
        if self.logs and (self.step % self.settings.log_every == 0 or done == 1):
            for log in self.logs:
                log.write({"step": self.step, "rows": self.rows, **numbers})

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        if self.file is None:
            return
        place = self.batches.place()
        held = [*held_of(self.sae, self.optimiser), Held("idle", self.idle, by_latent=True)]
        held += [Held(name, getattr(place, name), by_latent=False) for name in ("slots", "order", "random")]
        said = {"step": self.step, "rows": self.rows, "place": [place.epoch, place.taken, place.served]}
        write(self.file, held, self.parallel, {**said, **self._what()})

    def resume(self) -> bool:
        """Go on from the checkpoint; False where there is none."""
        found = read(self.file, self.parallel.group) if self.file is not None else None
        if found is None:
            return False
        said, tensors = found
        wanted = json.loads(json.dumps(self._what()))
        if {name: said[name] for name in wanted} != wanted:
            raise SaeError(
                f"{self.file} is of another training: {said['sae']}, {said['settings']}. Give another folder."
            )
        rest = dict(take_back(tensors, self.sae, self.optimiser, self.parallel))
        self.step, self.rows = said["step"], said["rows"]
        self.idle.copy_(self.parallel.own_latents(rest["idle"], by_latent=True))
        epoch, taken, served = said["place"]
        self.batches.go_to(Place(epoch, taken, served, rest["slots"], rest["order"], rest["random"]))
        return True

    def _what(self) -> dict[str, Any]:
        """Return what the training is one of."""
        sae = self.sae
        whole = self.parallel.latents(sae)
        return {"settings": asdict(self.settings), "sae": [sae.variant, sae.d_in, whole, sae.settings()]}
