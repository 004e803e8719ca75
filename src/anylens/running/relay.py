"""A call in a thread of its own that halts where it is told to, and goes on, or ends, when the caller says so."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import torch


class Stopped(BaseException):
    """The caller ended the call."""


@dataclass(frozen=True)
class Halt:
    """The call halted; `what` says where."""

    what: Any


@dataclass(frozen=True)
class Done:
    """The call returned."""

    output: Any


@dataclass(frozen=True)
class Failed:
    """The call raised."""

    error: BaseException


Event = Halt | Done | Failed


class Relay:
    """Runs a call step by step: `advance` lets it go on to its next halt.

    The thread sees the caller's context variables, gradient mode, autocast, default device and CUDA stream; it changes
    none of them for the caller.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._commands: SimpleQueue[bool] = SimpleQueue()
        self._over = False
        context, surroundings = contextvars.copy_context(), Surroundings.here()

        def work() -> None:
            try:
                self._obey()
                with surroundings.again():
                    event: Event = Done(call())
            except Stopped:
                event = Done(None)
            except BaseException as error:  # handed to the caller, whatever it is
                event = Failed(error)
            self._events.put(event)

        self._thread = threading.Thread(target=context.run, args=(work,), name="anylens-iterate", daemon=True)
        self._thread.start()

    def halt(self, what: Any) -> None:
        """Called by the call itself: wait until the caller lets it go on; raises Stopped if it is to end."""
        self._events.put(Halt(what))
        self._obey()

    def _obey(self) -> None:
        if not self._commands.get():
            raise Stopped

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._over

    def advance(self) -> Halt | Done:
        """Let the call go on to its next halt, or to its end; raises what the call raised.

        An interruption meanwhile ends the call.
        """
        if self._over:
            return Done(None)
        self._commands.put(True)
        try:
            event = self._events.get()
        except BaseException:
            self.stop()
            raise
        if isinstance(event, Halt):
            return event
        self._end()
        if isinstance(event, Failed):
            raise event.error
        return event

    def stop(self) -> None:
        """End the call at its next halt, and wait for that."""
        if self._over:
            return
        self._over = True
        self._commands.put(False)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _end(self) -> None:
        self._over = True
        self._thread.join()


@dataclass(frozen=True)
class Surroundings:
    """What torch keeps for each thread."""

    grad: bool
    inference: bool
    autocast: tuple[tuple[str, torch.dtype], ...]
    device: torch.device
    stream: Any

    @classmethod
    def here(cls) -> "Surroundings":
        """Note what holds in this thread."""
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
        kinds = ("cpu", "cuda") if cuda else ("cpu",)
        return cls(
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            tuple(
                (kind, torch.get_autocast_dtype(kind)) for kind in kinds if torch.is_autocast_enabled(kind)
            ),
            torch.get_default_device(),
            torch.cuda.current_stream() if cuda else None,
        )

    @contextmanager
    def again(self) -> Iterator[None]:
        """Have it hold in another thread."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self.inference))
            stack.enter_context(torch.set_grad_enabled(self.grad))
            for kind, dtype in self.autocast:
                stack.enter_context(torch.autocast(kind, dtype))
            if self.device.type != "cpu":
                stack.enter_context(self.device)
            if self.stream is not None:
                stack.enter_context(torch.cuda.stream(self.stream))
            yield
