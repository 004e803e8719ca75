"""Watch one forward pass: every module call and every torch function, with the identity of each tensor.

Tensors are known by weak reference, so that watching keeps nothing alive that the model lets go.
"""

import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from anylens.anatomy.functions import FunctionCall
from anylens.anatomy.labels import Labeller
from anylens.anatomy.perform import Performed, perform, version
from anylens.anatomy.trace import Call, Op, Trace, Value
from anylens.anatomy.vocabulary import RECURRENT, SILENT, function_name
from anylens.core import arguments
from anylens.core.opened import OPENED
from anylens.core.tree import leaves

name_of = lru_cache(maxsize=8192)(function_name)


class Enough(BaseException):
    """The first call of the watched module has ended: nothing after it is of interest."""


class Registry:
    """Numbers tensors by identity and version."""

    def __init__(self, parameters: dict[int, str], ops: list[Op]) -> None:
        self.parameters = parameters
        self.ops = ops
        self.values: list[Value] = []
        self.known: dict[int, tuple[weakref.ref[torch.Tensor], int, int]] = {}
        self.touched: dict[int, int] = {}  # memory -> the last value made by a change in place

    def number(self, tensor: torch.Tensor) -> int:
        """Return the number of a tensor as it is now."""
        entry = self.known.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            if entry[1] == version(tensor):
                return entry[2]
            touched = self.touched.get(storage(tensor))  # changed through a view of the same memory
            if touched is not None:
                return self.changed(tensor, entry[2], touched)
        return self.new(tensor, None)

    def new(self, tensor: torch.Tensor, maker: int | None) -> int:
        number = len(self.values)
        parameter = self.parameters.get(id(tensor), "")
        dtype = str(tensor.dtype).removeprefix("torch.")
        self.values.append(Value(number, tuple(tensor.shape), dtype, maker, parameter))
        return self.remember(tensor, number)

    def changed(self, tensor: torch.Tensor, before: int, touched: int) -> int:
        """Number a tensor anew that was changed through a view: an operation of nobody's scope stands for that."""
        op = len(self.ops)
        number = self.new(tensor, op)
        self.ops.append(Op(op, "setitem", -1, (before, touched), (number,), ("setitem",)))
        return number

    def remember(self, tensor: torch.Tensor, number: int) -> int:
        self.known[id(tensor)] = (weakref.ref(tensor), version(tensor), number)
        return number


def storage(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins; tensors without memory are their own."""
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):
        return id(tensor)


class Watch(TorchFunctionMode):
    """Records the calls of a module tree and the torch functions inside them."""

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self.root = root
        self.paths = {id(module): path for path, module in root.named_modules()}
        tensors = [*root.named_parameters(), *root.named_buffers()]
        self.names = {id(tensor): path for path, tensor in tensors}
        self.ops: list[Op] = []
        self.registry = Registry(self.names, self.ops)
        self.calls: list[Call] = []
        self.functions: list[FunctionCall] = []
        self.stack: list[tuple[Call, Labeller]] = []
        self.turns: dict[str, int] = {}
        self.finished = 0
        self.busy = False

    def trace(self) -> Trace:
        values, functions = tuple(self.registry.values), tuple(self.functions)
        return Trace(values, tuple(self.ops), tuple(self.calls), functions)

    def install(self) -> list[Any]:
        """Hook every module of the tree; return the handles."""
        handles: list[Any] = []
        for module in self.root.modules():
            handles.append(module.register_forward_pre_hook(self.enter_call, with_kwargs=True))
            handles.append(module.register_forward_hook(self.leave_call, with_kwargs=True))
        return handles

    def enter_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.busy:  # called by a stand-in that shows what it is made of
            return
        self.busy = True
        path = self.paths[id(module)]
        parent = self.stack[-1][0].number if self.stack else -1
        turn = self.turns.get(path, 0)
        self.turns[path] = turn + 1
        call = Call(len(self.calls), path, type(module).__qualname__, parent, turn, len(self.ops))
        given = arguments.tensors(module, args, kwargs)
        call.inputs = {key: self.registry.number(tensor) for key, tensor in given}
        labeller = Labeller(self.names)
        labeller.entered(given)
        self.calls.append(call)
        self.stack.append((call, labeller))
        self.busy = False

    def leave_call(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if self.busy:
            return
        self.busy = True
        path = self.paths[id(module)]
        while self.stack[-1][0].path != path:  # a call inside ended by an exception that its caller handled
            self.stack.pop()[0].end = len(self.ops)
        call, _ = self.stack.pop()
        given = list(leaves(output))
        call.outputs = {key: self.registry.number(tensor) for key, tensor in given}
        call.end, call.finished = len(self.ops), self.finished
        self.finished += 1
        if self.stack:
            self.stack[-1][1].returned(path, given)
        self.busy = False
        if module is self.root:
            raise Enough

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():  # a compiler is tracing this: it must not trace the watcher too
            return func(*args, **kwargs)
        name = name_of(func)
        if self.busy or name in SILENT:
            return func(*args, **kwargs)
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        operands = [tensor for _, tensor in leaves((args, kwargs))]
        inputs = tuple(self.registry.number(tensor) for tensor in operands)
        done = perform(func, args, kwargs)
        if done.outputs:
            self.record(name, inputs, done, note(name, args, kwargs))
        return done.result

    def record(self, name: str, inputs: tuple[int, ...], done: Performed, remark: str) -> None:
        """Add an operation; a result that is an operand left as it was keeps its number."""
        number = len(self.ops)
        before = {id(tensor): value for tensor, value in zip(done.operands, inputs, strict=True)}
        mutated = {id(tensor) for tensor in done.changed}
        made = tuple(
            before[id(t)] if id(t) in before and id(t) not in mutated else self.registry.new(t, number)
            for t in done.outputs
        )
        for tensor in done.changed:
            self.registry.touched[storage(tensor)] = self.registry.number(tensor)
        labels: tuple[str, ...] = (name,)
        if self.stack:
            labeller = self.stack[-1][1]
            labels = labeller.operation(name, done.operands)
            labeller.label(labels, done.outputs)
        call = self.stack[-1][0].number if self.stack else -1
        self.ops.append(Op(number, name, call, inputs, made, labels, remark))


def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Say what a reader of the trace needs to know beyond the operands."""
    if name == "einsum" and args and isinstance(args[0], str):
        return args[0].replace(" ", "")
    if name == "add" and kwargs.get("alpha", 1) != 1:
        return f"alpha={kwargs['alpha']}"
    if name in ("permute", "transpose"):
        listed = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        return ",".join(str(dim) for dim in listed)
    if name in ("stack", "sum"):
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0 if name == "stack" else None)
        dim = dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim
        return str(dim) if isinstance(dim, int) else ""
    if name in RECURRENT and len(args) == 9:  # not of packed sequences
        return f"{'batch' if args[8] else 'pos'},{'both ways' if args[7] else 'one way'}"
    return ""


def watch(root: nn.Module, run: Callable[[], Any], also: Callable[[Watch], list[Any]] | None = None) -> Trace:
    """Call `run` and record the first call of `root` in it; what comes after that call is not run.

    `also` hooks what else the watcher has to see, and returns the handles. No gradient is kept, and the random state
    is as before when this returns.

    Raises:
        Whatever the model raises, as it is.
    """
    watcher = Watch(root)
    handles = [*watcher.install(), *(also(watcher) if also is not None else ())]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad(), watcher:
            run()
    except Enough:
        return watcher.trace()
    finally:
        for handle in handles:
            handle.remove()
    return watcher.trace()
