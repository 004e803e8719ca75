"""The ranks of a training, as torch.distributed has them: joining them, and what they tell each other."""

import atexit
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from anylens.core.errors import RankError, SaeError


def leads() -> bool:
    """Whether this process writes what all ranks share: it is the first of them, or there is no other."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not _announced() or os.environ["RANK"] == "0"


def local_device() -> torch.device:
    """Return where this rank computes: its own GPU where there are any (`LOCAL_RANK` says which), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def joined() -> "Group | None":
    """Join the ranks that `torchrun` or another starter announced, once, and return them; None if there is one only."""
    if not dist.is_available():
        return None
    if not dist.is_initialized():
        if not _announced():
            return None
        if torch.cuda.is_available():
            torch.cuda.set_device(local_device())
        dist.init_process_group()
        atexit.register(_leave)
    return Group() if dist.get_world_size() > 1 else None


def _announced() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _heard() -> Iterator[None]:
    """Say in plain words that another rank does not answer."""
    try:
        yield
    except RuntimeError as error:
        raise RankError(
            "Another rank of the training has stopped or does not answer. Its own error says why; started again, the "
            f"training goes on from its last checkpoint. ({str(error).splitlines()[0]})"
        ) from error


class Group:
    """All ranks. Every call is one that all of them make, in the same order.

    Attributes:
        rank, size: which one this is, and how many there are.
        device: where tensors are exchanged.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.backends = str(dist.get_backend_config())  # such as cpu:gloo,cuda:nccl
        on_gpu = "cuda:" in self.backends and torch.cuda.is_available()
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def expect_reachable(self, device: torch.device) -> None:
        """Raise SaeError if tensors of a device cannot be exchanged."""
        if f"{device.type}:" not in self.backends:
            raise SaeError(
                f"The ranks exchange tensors by {self.backends}, and the autoencoder is on {device}. Put it where its "
                "rank computes: sae.to(anylens.sae.local_device())."
            )

    def sum(self, here: Tensor) -> Tensor:
        """Return the sum over ranks, the same on all."""
        summed = here.clone()
        self.sum_in_place([summed])
        return summed

    def sum_in_place(self, tensors: Iterable[Tensor]) -> None:
        """Put the sums over ranks in place of tensors, all under way at once."""
        with _heard():
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def least(self, here: Tensor) -> Tensor:
        """Return the smallest over ranks."""
        found = here.clone()
        with _heard():
            dist.all_reduce(found, op=dist.ReduceOp.MIN)
        return found

    def gather(self, here: Tensor) -> list[Tensor]:
        """Return every rank's tensor, in their order; all have one shape."""
        found = [torch.empty_like(here) for _ in range(self.size)]
        with _heard():
            dist.all_gather(found, here.contiguous())
        return found

    def broadcast(self, tensor: Tensor) -> None:
        """Put the first rank's values in place of a tensor's, on whatever device it is."""
        there = tensor.detach().to(self.device).contiguous()
        with _heard():
            dist.broadcast(there, src=0)
        tensor.detach().copy_(there)

    def collect(self, part: Tensor, sizes: Sequence[int]) -> Tensor | None:
        """Return on the first rank the ranks' parts as one tensor of the CPU, None on the others.

        Args:
            part: `[sizes[rank], ...]`.
            sizes: rows of each rank's part.
        """
        with _heard():
            if self.rank:
                dist.send(part.detach().to(self.device).contiguous(), dst=0)
                return None
            whole = torch.empty(sum(sizes), *part.shape[1:], dtype=part.dtype)
            whole[: sizes[0]] = part.detach()
            for rank, size, start in _others(sizes):
                there = torch.empty(size, *part.shape[1:], dtype=part.dtype, device=self.device)
                dist.recv(there, src=rank)
                whole[start : start + size] = there
            return whole

    def text(self, text: str | None) -> str | None:
        """Return the first rank's text, or None if it has none."""
        content = torch.tensor(list((text or "").encode()), dtype=torch.uint8)
        length = torch.tensor(len(content))
        self.broadcast(length)
        if self.rank:
            content = torch.empty(int(length), dtype=torch.uint8)
        self.broadcast(content)
        return bytes(content.tolist()).decode() or None

    def expect_same(self, given: Mapping[str, Any]) -> None:
        """Raise SaeError if ranks were given different things, with their names."""
        marks = torch.tensor([zlib.crc32(repr(value).encode()) for value in given.values()])
        everyones = torch.stack(self.gather(marks.to(self.device))).cpu()
        wrong = [
            name for name, same in zip(given, (everyones == everyones[0]).all(0), strict=True) if not same
        ]
        if wrong:
            said = ", ".join(f"{name}={given[name]!r}" for name in wrong)
            raise SaeError(
                f"The ranks were not given the same {', '.join(wrong)}: rank {self.rank} has {said}. Every rank runs "
                "the same training, and takes its share of it by itself."
            )


def _others(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the number, the size and the start of each part but the first."""
    start = sizes[0]
    for rank, size in enumerate(sizes[1:], 1):
        yield rank, size, start
        start += size
