"""Training: batches in, weights out, with checkpoints that go on bit for bit."""

import json
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from anylens.core.errors import LoadError, SaeError
from anylens.core.progress import Progress
from anylens.sae.base import Sae, Terms
from anylens.sae.logs import Log, logs_of
from anylens.store.batches import Batches, Place
from anylens.store.manifest import write_whole

CHECKPOINT = "checkpoint.safetensors"
SAMPLE = 8  # batches from whose rows the scale and the decoder's bias begin


@dataclass(frozen=True)
class Settings:
    """How an autoencoder is trained.

    Attributes:
        steps: batches that are gone through.
        lr: the learning rate, after a warm-up over `warm_up` of the steps; it falls to zero over the last `decay`.
        betas: of Adam.
        dead_after: a latent that has not fired for so many rows is dead, and revived by the variants that do that.
        clip: the largest norm of all gradients together.
        log_every, save_every: steps.
    """

    steps: int = 2000
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.05
    decay: float = 0.2
    dead_after: int = 200_000
    clip: float = 1.0
    log_every: int = 50
    save_every: int = 500


def train(
    sae: Sae,
    batches: Batches,
    settings: Settings | None = None,
    *,
    folder: Path | str | None = None,
    also: Iterable[str] = (),
    project: str = "anylens",
    progress: bool | None = None,
) -> Sae:
    """Train an autoencoder, in place, and return it in eval mode.

    Args:
        sae: the autoencoder, as `make` gives it.
        batches: rows, for as many epochs as the steps need (`epochs=None`).
        settings: how.
        folder: where the log and the checkpoints go. A run that was cut off goes on from the last checkpoint there.
        also: further logs, `"tensorboard"` or `"wandb"`, which must be installed; `project` is wandb's.
        progress: whether to show loss, FVU, L0, dead latents and rows per second.

    Raises:
        SaeError: the loss is no number, every latent is dead, or the rows ran out.
    """
    settings = settings or Settings()
    place = Path(folder) if folder is not None else None
    run = _Run(sae.train(), batches, settings, place)
    if not run.resume():
        run.begin()
    rows = iter(batches)
    with ExitStack() as stack:
        run.logs = [stack.enter_context(closing(log)) for log in logs_of(place, also, project=project)]
        shown = stack.enter_context(Progress("train", shown=progress))
        while run.step < settings.steps:
            batch = next(rows, None)
            if batch is None:
                raise SaeError(
                    f"The rows ran out after {run.step} of {settings.steps} steps. Give epochs=None."
                )
            run.take(batch.values, shown)
    run.save()
    return sae.eval()


class _Run:
    """What changes during a training, and how it is kept."""

    def __init__(self, sae: Sae, batches: Batches, settings: Settings, folder: Path | None) -> None:
        self.sae, self.batches, self.settings, self.folder = sae, batches, settings, folder
        self.logs: list[Log] = []
        self.step = 0
        self.rows = 0
        self.idle = torch.zeros(
            sae.d_sae, dtype=torch.int64, device=sae.encoder.device
        )  # rows since each latent fired
        self.fvu: deque[float] = deque(maxlen=50)
        self.optimiser = torch.optim.Adam(
            sae.parameters(),
            lr=settings.lr,
            betas=settings.betas,
            eps=1e-8,
            fused=sae.encoder.dtype == torch.float32,
        )
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        """Set the scale and the bias from a sample of rows, and go back to the first of them."""
        place = self.batches.place()
        some = [rows.values for rows, _ in zip(self.batches, range(SAMPLE), strict=False)]
        self.batches.go_to(place)
        self.sae.begin(torch.cat(some).to(self.sae.encoder.device))

    def take(self, values: Tensor, shown: Progress) -> None:
        """Make one step."""
        sae, settings = self.sae, self.settings
        x_BD = values.to(sae.encoder.device, sae.encoder.dtype) * sae.scale
        dead = self.idle >= settings.dead_after
        self.optimiser.zero_grad(set_to_none=True)
        terms = sae.step(x_BD, dead, self.step / settings.steps)
        self._expect_sound(terms)
        sae.project()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), settings.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.lr * _pace(self.step / settings.steps, settings)
        self.optimiser.step()
        sae.constrain()
        self.idle += len(x_BD)
        self.idle[terms.fired] = 0
        self.step += 1
        self.rows += len(x_BD)
        self.fvu.append(terms.fvu)
        self._tell(terms, int(dead.sum()), shown)
        if self.folder is not None and self.step % settings.save_every == 0:
            self.save()

    def _expect_sound(self, terms: Terms) -> None:
        if not terms.loss < float("inf"):
            raise SaeError(
                f"The loss was {terms.loss} at step {self.step}. Look for rows that are not finite, lower the learning "
                f"rate ({self.settings.lr:g}), or give the rows another scale."
            )
        if bool((self.idle >= self.settings.dead_after).all()) and not terms.fired.any():
            raise SaeError(
                f"Every latent was dead at step {self.step}. Lower the learning rate ({self.settings.lr:g}) or what "
                "keeps latents few (l1, l0)."
            )

    def _tell(self, terms: Terms, dead: int, shown: Progress) -> None:
        done = self.step / self.settings.steps
        more = f", loss {terms.loss:.4g}, FVU {terms.fvu:.3f}, L0 {terms.l0:.1f}, {dead} dead"
        shown.tell(self.rows, done, more)
        if self.logs and (self.step % self.settings.log_every == 0 or done == 1):
            line = {"step": self.step, "rows": self.rows, "loss": terms.loss, **terms.parts}
            line |= {"fvu": terms.fvu, "l0": terms.l0, "dead": dead}
            for log in self.logs:
                log.write(line)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        if self.folder is None:
            return
        place = self.batches.place()
        tensors = {f"sae.{name}": value for name, value in self.sae.state_dict().items()}
        for number, weight in enumerate(self.sae.parameters()):
            for name, value in self.optimiser.state.get(weight, {}).items():
                tensors[f"adam.{number}.{name}"] = torch.as_tensor(value)
        tensors |= {"idle": self.idle, "slots": place.slots, "order": place.order, "random": place.random}
        said = {
            "step": self.step,
            "rows": self.rows,
            "place": [place.epoch, place.taken, place.served],
            "settings": asdict(self.settings),
            "sae": [self.sae.variant, self.sae.d_in, self.sae.d_sae, self.sae.settings()],
        }
        content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_whole(self.folder / CHECKPOINT, tensors_to_bytes(content, {"anylens": json.dumps(said)}))

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder; False where there is none."""
        file = self.folder / CHECKPOINT if self.folder is not None else None
        if file is None or not file.exists():
            return False
        tensors, said = _read(file)
        ours = [self.sae.variant, self.sae.d_in, self.sae.d_sae, self.sae.settings()]
        wanted = json.loads(json.dumps([ours, asdict(self.settings)]))
        if [said["sae"], said["settings"]] != wanted:
            raise SaeError(
                f"{file} is of another training: {said['sae']}, {said['settings']}. Give another folder."
            )
        self.sae.load_state_dict(
            {name[4:]: value for name, value in tensors.items() if name.startswith("sae.")}
        )
        for number, weight in enumerate(self.sae.parameters()):
            stem = f"adam.{number}."
            held = {name[len(stem) :]: value for name, value in tensors.items() if name.startswith(stem)}
            if held:
                self.optimiser.state[weight] = {
                    name: value.to(weight.device) if value.ndim else value for name, value in held.items()
                }
        self.step, self.rows = said["step"], said["rows"]
        self.idle.copy_(tensors["idle"])
        epoch, taken, served = said["place"]
        self.batches.go_to(Place(epoch, taken, served, tensors["slots"], tensors["order"], tensors["random"]))
        return True


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        said = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["anylens"])
        return read_tensors(content), said
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise LoadError(f"{file} cannot be read: {error}. Remove it to begin anew.") from error


def _pace(done: float, settings: Settings) -> float:
    """Return the share of the learning rate at a share of the training."""
    rising = min(1.0, (done + 1 / settings.steps) / settings.warm_up) if settings.warm_up else 1.0
    falling = min(1.0, (1 - done) / settings.decay) if settings.decay else 1.0
    return rising * falling
