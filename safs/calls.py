"""The calls that one forward pass makes, in order: of the nodes of graphs, and of modules that Python code runs.

With an example they are those of a run of it; without, every node and every activation module counts as one call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from safs.graph_sites import channel_dim_behind, graph_sites
from safs.parts import Parts
from safs.recognition import Recognised, is_activation, recognise_function, recognise_module

_PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
_SHAPE_ONLY = {
    "view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "expand", "expand_as", "permute", "transpose",
    "contiguous", "repeat", "__getitem__", "interpolate", "dropout", "view_as", "chunk", "split", "unbind",
}  # fmt: skip
_ADDITIONS = {"add", "__add__", "__radd__"}
_ARITHMETIC = {*_PRODUCTS, "add", "sub", "rsub", "div", "__add__", "__radd__", "__sub__", "__rsub__", "__truediv__"}
_READ_NO_VALUES = {"__get__", "size", "dim", "stride", "numel", "__len__", "is_contiguous", "storage_offset"}
_IN_PLACE = {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__", "__setitem__"}
GATING = {"sigmoid", "hardsigmoid"}


@dataclass
class NodeCall:
    """A call of a graph's node.

    Attributes:
        part: the path of the module whose graph it is.
        node: the node's name.
        shape: the shape of its output for one example, or None if it is no tensor, or unknown.
        overwritten: whether code that is kept whole overwrites its output.
        multiplies: whether its output multiplies another tensor there: a gate, if it is a sigmoid.
        written_out: whether it multiplies its own input there: x·σ(x).
    """

    part: str
    node: str
    shape: tuple[int, ...] | None = None
    overwritten: bool = False
    multiplies: bool = False
    written_out: bool = False


@dataclass
class PythonCall:
    """A call of an activation function by Python code, inside a module that is kept whole.

    Attributes:
        path: the path of the activation module, or of the module that calls a function.
        function: the function's name, or None for a module.
        recognised: which activation function it is.
        shape: as that of a node's call.
        channel_dim: which dimension of its output, counting the batch as 0, holds the channels.
        overwritten: whether its output is overwritten.
        multiplies: whether its output multiplies another tensor: a gate, if it is a sigmoid.
        written_out: whether it multiplies its own input: x·σ(x).
        input_is_read: whether it overwrites its input, which is read again under its old name.
    """

    path: str
    function: str | None
    recognised: Recognised
    shape: tuple[int, ...] | None = None
    channel_dim: int = 1
    overwritten: bool = False
    multiplies: bool = False
    written_out: bool = False
    input_is_read: bool = False


Call = NodeCall | PythonCall


def calls_without_an_example(model: nn.Module, parts: Parts) -> list[Call]:
    """Return every node of the graphs, and every activation module elsewhere, as one call, as they are registered."""
    return list(_walk(model, parts, "", set()))


def _walk(model: nn.Module, parts: Parts, path: str, seen: set[nn.Module]) -> Iterator[Call]:
    module = model.get_submodule(path)
    if module in seen:
        return
    seen.add(module)
    if path in parts.graphs:
        for node in parts.graphs[path].nodes:
            yield NodeCall(path, node.name)
            target = f"{path}.{node.target}" if path else str(node.target)
            if node.op == "call_module" and target in parts.kept:
                yield from _walk(model, parts, target, seen)
        return
    recognised = recognise_module(module)
    if recognised is not None:
        yield PythonCall(path, None, recognised, overwritten=True)
    for name, _ in module.named_children():
        yield from _walk(model, parts, f"{path}.{name}" if path else name, seen)


def calls_of_a_run(network: nn.Module, parts: Parts, example: Tensor) -> list[Call]:
    """Return the calls that the forward pass of an example makes; the network is used up.

    Args:
        network: the network, rebuilt from its parts, in evaluation.
        parts: its parts.
        example: a batch of examples.
    """
    watch = _Watch(parts)
    for path, module in network.named_modules():
        if path:
            module.register_forward_pre_hook(watch.before(path), with_kwargs=True)
            module.register_forward_hook(watch.after(path))
        if path in parts.graphs:
            assert isinstance(module, GraphModule)
            vars(module)["forward"] = _Recorder(module, path, watch).call
    with torch.no_grad():
        if parts.kept:
            with watch:
                network(example)
        else:
            network(example)
    return watch.calls


class _Recorder(Interpreter):
    """Runs a graph node by node, and notes each call."""

    def __init__(self, module: GraphModule, part: str, watch: _Watch) -> None:
        super().__init__(module)
        self.signature = inspect.signature(type(module).forward)
        self.part, self.watch = part, watch
        # Without Python code there is nothing to follow: the graph says it all.
        sites = graph_sites(module.graph, dict(module.named_modules())) if watch.parts.kept else {}
        self.gating = {node for node, site in sites.items() if site.gating and not site.gate}

    def call(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.signature.bind(self.module, *args, **kwargs)
        bound.apply_defaults()
        return self.run(*bound.args[1:])

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        call = NodeCall(self.part, n.name, _shape(result))
        self.watch.calls.append(call)
        if isinstance(result, Tensor) and n.op.startswith("call"):
            self.watch.made[result] = call
            if n.name in self.gating:
                self.watch.follow(call, self.env[n.all_input_nodes[0]], result)
        return result


class _Watch(TorchFunctionMode):
    """Notes the calls of activation functions by Python code, and what becomes of what they return.

    Tensors are held weakly: what the network lets go of cannot be used again.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts
        self.calls: list[Call] = []
        self.made = WeakTensorKeyDictionary()
        self.stack = [("", "" not in parts.graphs)]
        self.channel_dim = 1
        self._before: list[tuple[Tensor, bool]] = []
        self._sigmoids = WeakTensorKeyDictionary()
        self._inputs = WeakTensorKeyDictionary()
        self._plus_3 = WeakTensorKeyDictionary()
        self._stale = WeakTensorKeyDictionary()

    def before(self, path: str) -> Callable[..., None]:
        """Return the hook before a module's call."""

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            activation = is_activation(module)
            if self._runs_python() and activation:
                # Out of place, so that a later use of the input can be told from one of the output.
                (x,) = (*args, *kwargs.values())
                in_place = bool(getattr(module, "inplace", False))
                self._before.append((x, in_place))
                if in_place:
                    vars(module)["inplace"] = False
            inside = self._runs_python() and path not in self.parts.graphs and not activation
            self.stack.append((path, inside or path in self.parts.kept))

        return hook

    def after(self, path: str) -> Callable[..., None]:
        """Return the hook after a module's call."""

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self.stack.pop()
            self.channel_dim = channel_dim_behind(module) or self.channel_dim
            recognised = recognise_module(module)
            if recognised is None or not self._runs_python():
                return
            dim = 1 if isinstance(module, nn.PReLU) else self.channel_dim
            call = PythonCall(path, None, recognised, _shape(output), dim)
            x, in_place = self._before.pop()
            if in_place:
                vars(module)["inplace"] = True
                self._stale[x] = call
                if x in self.made:
                    self.made[x].overwritten = True
            self._note(call, x, output)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        self._see_uses(name, args, kwargs)
        result = func(*args, **kwargs)
        self._see_products(name, args, result)
        recognised = _recognise_function(func, args, kwargs)
        if recognised is not None and self._runs_python() and isinstance(result, Tensor):
            x = args[0] if args else kwargs["input"]
            self._note(PythonCall(self.stack[-1][0], name, recognised, _shape(result)), x, result)
        return result

    def _runs_python(self) -> bool:
        """Return whether the innermost module's code is run as it is: it is neither a graph nor an activation."""
        return self.stack[-1][1]

    def _note(self, call: PythonCall, x: Any, output: Tensor) -> None:
        self.calls.append(call)
        self.made[output] = call
        if call.recognised.operator in GATING or (call.recognised.operator == "relu6" and x in self._plus_3):
            self.follow(call, x, output)

    def follow(self, call: Call, x: Tensor, output: Tensor) -> None:
        """Notice what multiplies the output of a sigmoid of x, or of relu6(x + 3), which is six times a hard one."""
        self._sigmoids[output] = call
        self._inputs[self._plus_3.get(x, x)] = call

    def _see_uses(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if name in _READ_NO_VALUES:
            return
        tensors = [value for value in tree_leaves((args, dict(kwargs))) if isinstance(value, Tensor)]
        for tensor in tensors:
            if tensor in self._stale:
                self._stale[tensor].input_is_read = True
        in_place = (
            (name.endswith("_") and not name.endswith("__")) or name in _IN_PLACE or kwargs.get("inplace") is True
        )
        if in_place and tensors and tensors[0] in self.made:
            self.made[tensors[0]].overwritten = True

    def _see_products(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        tensors = [value for value in args if isinstance(value, Tensor)]
        if name in _PRODUCTS and len(tensors) == 2:
            for factor, other in (tensors, tensors[::-1]):
                call = self._sigmoids.get(factor)
                if call is None or other is factor or self._sigmoids.get(other) is call:
                    continue
                if self._inputs.get(other) is call:
                    call.written_out = True
                else:
                    call.multiplies = True
        if name in _ADDITIONS and len(tensors) == 1 and [v for v in args if not isinstance(v, Tensor)] == [3]:
            self._plus_3[result] = tensors[0]
        passes = name in _SHAPE_ONLY or (name in _ARITHMETIC and len(tensors) == 1)
        if passes and tensors and tensors[0] in self._sigmoids:
            for piece in tree_leaves(result):
                if isinstance(piece, Tensor):
                    self._sigmoids[piece] = self._sigmoids[tensors[0]]


def _recognise_function(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recognised | None:
    if function is F.glu:
        return Recognised("glu")
    return Recognised("prelu") if function is F.prelu else recognise_function(function, args, kwargs)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape[1:]) if isinstance(value, Tensor) else None
