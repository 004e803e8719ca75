"""Where a harvest runs: in this process, or on a cluster. The store is the same."""

from dataclasses import dataclass

from anylens.core.errors import StoreError
from anylens.harvest.schedule import Rules

USUAL = Rules()


@dataclass(frozen=True)
class Local:
    """In this process."""


@dataclass(frozen=True)
class Ray:
    """On a cluster of Ray.

    Attributes:
        address: of a running cluster, such as `auto` or `ray://head:10001`; without it the one that this process is
            connected to or that `RAY_ADDRESS` names, or else one that is started on this computer.
        workers: how many; without it as many as the cluster has room for.
        cpus, gpus: of one worker. With GPUs the model and its inputs are moved to `cuda`.
        rules: when a block is given out again.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0
    rules: Rules = USUAL

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0 or (self.workers is not None and self.workers < 1):
            raise StoreError(
                f"{self} makes no sense: a worker has at least one CPU, and there is at least one."
            )


Engine = Local | Ray
ENGINES: dict[str, Engine] = {"local": Local(), "ray": Ray()}


def engine_of(engine: Engine | str) -> Engine:
    """Return the engine of a name; StoreError for an unknown one."""
    if isinstance(engine, (Local, Ray)):
        return engine
    if engine not in ENGINES:
        raise StoreError(f"engine={engine!r} is unknown. Give {', '.join(map(repr, ENGINES))}, or a value.")
    return ENGINES[engine]
