"""The calls of a traced network, and which of them a factor passes unchanged."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.multiprocessing.reductions import StorageWeakRef

from safs.folding.factors import NotExactError
from safs.recognition import recognise
from safs.tracing import caller
from spaces.activation import Activation

HOMOGENEOUS = {"relu", "leaky_relu", "prelu", "identity"}
"""Operators with f(c·x) = c·f(x) for every c > 0; the identity for every c."""

_SAME: set[Any] = {
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d,
    torch.dropout, torch.clone, torch.neg, operator.neg, "clone", "contiguous", "neg",
}  # fmt: skip
_MAXIMA: dict[Any, int] = {
    nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3, F.max_pool1d: 1, F.max_pool2d: 2, F.max_pool3d: 3,
    nn.AdaptiveMaxPool1d: 1, nn.AdaptiveMaxPool2d: 2, nn.AdaptiveMaxPool3d: 3,
    F.adaptive_max_pool1d: 1, F.adaptive_max_pool2d: 2, F.adaptive_max_pool3d: 3,
    torch.max_pool1d: 1, torch.max_pool2d: 2, torch.max_pool3d: 3,
}  # fmt: skip
_SPATIAL: dict[Any, int] = {
    nn.AvgPool1d: 1, nn.AvgPool2d: 2, nn.AvgPool3d: 3, F.avg_pool1d: 1, F.avg_pool2d: 2, F.avg_pool3d: 3,
    nn.AdaptiveAvgPool1d: 1, nn.AdaptiveAvgPool2d: 2, nn.AdaptiveAvgPool3d: 3,
    F.adaptive_avg_pool1d: 1, F.adaptive_avg_pool2d: 2, F.adaptive_avg_pool3d: 3, torch.adaptive_avg_pool1d: 1,
    nn.ZeroPad1d: 1, nn.ZeroPad2d: 2, nn.ZeroPad3d: 3,
    nn.ReflectionPad1d: 1, nn.ReflectionPad2d: 2, nn.ReflectionPad3d: 3,
    nn.ReplicationPad1d: 1, nn.ReplicationPad2d: 2, nn.ReplicationPad3d: 3,
    nn.CircularPad1d: 1, nn.CircularPad2d: 2, nn.CircularPad3d: 3,
}  # fmt: skip
"""Linear calls along the last so many dimensions."""
_INTERPOLATIONS: set[Any] = {nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, F.interpolate}
_PADS: set[Any] = {F.pad, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d}
MOVES: set[Any] = {
    nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
    torch.flatten, torch.unflatten, torch.reshape, torch.permute, torch.transpose, torch.movedim, torch.unsqueeze,
    torch.squeeze, torch.chunk, torch.split, torch.roll, F.pixel_shuffle, F.pixel_unshuffle, operator.getitem,
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "unsqueeze", "squeeze", "expand",
    "repeat", "chunk", "split", "roll", "t",
}  # fmt: skip
"""Calls that only move, repeat or leave out elements."""
CONCATENATIONS: set[Any] = {torch.cat, torch.concat, torch.concatenate}
MEANS: set[Any] = {torch.mean, torch.sum, "mean", "sum"}
PRODUCTS: set[Any] = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}
QUOTIENTS: set[Any] = {operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_", "divide"}
_SUMS: set[Any] = {
    operator.add, operator.iadd, torch.add, "add", "add_", operator.sub, operator.isub, torch.sub, "sub", "sub_",
}  # fmt: skip
_SHAPES: set[Any] = {"size", "dim", "ndimension", "numel"}
_SHAPE_ATTRIBUTES = ("shape", "ndim", "dtype", "device")


@dataclass(frozen=True)
class Calls:
    """A traced network with what each of its calls made of a batch of two blank examples.

    Attributes:
        network: the network.
        modules: its modules by name.
        names: what people call the modules of activation sites.
        values: the shape of each node's tensor (a list of shapes for several), or its value if it is no tensor.
        memory: where each node's tensors lie, in the order of the calls; a view lies where its tensor does.
        overwritten: the inputs of each call that it overwrites.
    """

    network: GraphModule
    modules: Mapping[str, nn.Module]
    names: Mapping[str, str]
    values: Mapping[Node, Any]
    memory: Mapping[Node, frozenset[StorageWeakRef]]
    overwritten: Mapping[Node, Sequence[Node]]

    def module(self, node: Node) -> nn.Module | None:
        """Return the module that a node calls, or None if it calls none."""
        return self.modules.get(str(node.target)) if node.op == "call_module" else None

    def kind(self, node: Node) -> Any:
        """Return what a node calls: a module's type, a function, or a method's name; None for other nodes."""
        if node.op == "call_module":
            return type(self.modules.get(str(node.target)))
        return node.target if node.op in ("call_function", "call_method") else None

    def label(self, node: Node) -> str:
        """Return a node as people know it."""
        module = self.module(node)
        if isinstance(module, Activation):
            return f"{self.names.get(str(node.target), node.target)} ({module.operator.name})"
        if node.op == "call_module":
            return f"{node.target} ({type(module).__name__})"
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
        path = caller(node)
        return f"{path}.{name}" if path else str(name)

    def shape(self, node: Node) -> tuple[int, ...]:
        """Return the shape of the one tensor that a node makes."""
        shape = self.values[node]
        if not isinstance(shape, Shape):
            raise NotExactError(f"{self.label(node)} does not make one tensor")
        return tuple(shape)

    def makes_tensors(self, node: Node) -> bool:
        """Return whether a node makes a tensor, or several, and not another value."""
        return isinstance(self.values[node], Shape | list)

    def readers(self, node: Node) -> list[Node]:
        """Return the nodes that read a node's numbers, and not just their shape."""
        return [user for user in node.users if not self.reads_shape(user)]

    def reads_shape(self, node: Node) -> bool:
        """Return whether a node reads only the shape, type or device of a tensor."""
        if node.op == "call_method":
            return node.target in _SHAPES
        return node.op == "call_function" and node.target is getattr and node.args[1] in _SHAPE_ATTRIBUTES

    def is_read_after(self, tensor: Node, call: Node) -> bool:
        """Return whether what a call overwrites is read again, under its old name or a view's, or outlives the pass."""
        older = [node for node, memory in self.memory.items() if node < call and memory & self.memory[tensor]]
        return any(
            node.op in ("placeholder", "get_attr") or any(reader > call for reader in self.readers(node))
            for node in older
        )

    def is_overwritten_after(self, tensor: Node) -> bool:
        """Return whether a call overwrites a tensor, or a view of it, once it is made."""
        return any(
            call > tensor and any(self.memory[target] & self.memory[tensor] for target in targets)
            for call, targets in self.overwritten.items()
        )

    def rerun(self, node: Node, source: Node) -> Callable[[Tensor], Any]:
        """Return a node's call as a function of one of its inputs, all others being no tensors."""

        def value(other: Node) -> Any:
            if self.makes_tensors(other):
                raise NotExactError(f"{self.label(node)} reads {self.label(other)}, too")
            return self.values[other]

        def run(tensor: Tensor) -> Any:
            args, kwargs = map_arg((node.args, node.kwargs), lambda other: tensor if other is source else value(other))
            if node.op == "call_module":
                return self.modules[str(node.target)](*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            assert callable(node.target), "the node calls a function"
            return node.target(*args, **kwargs)

        return run


class Shape(tuple[int, ...]):
    """The shape of a tensor, told apart from a tuple of numbers that a network computes."""


def passes_unchanged(calls: Calls, node: Node, factor: Tensor) -> bool:
    """Return whether a call's output has the same factor as its one input, in the same shape.

    Raises:
        NotExactError: if it would, but not for this factor.
    """
    kind, dims = calls.kind(node), factor.ndim
    if kind in _SAME:
        return True
    if kind in _MAXIMA:
        _check_positive(factor, f"it passes {calls.label(node)}, as only a positive factor may")
        return _constant_over_last(calls, node, factor, _MAXIMA[kind])
    if kind in _SPATIAL:
        return _constant_over_last(calls, node, factor, _SPATIAL[kind])
    if kind in _INTERPOLATIONS:
        return _constant_over_last(calls, node, factor, dims - 2)
    if kind in _PADS:
        return _pads_with_zeros(calls, node) and _constant_over_last(calls, node, factor, dims - 2)
    if kind in PRODUCTS | QUOTIENTS and len(node.args) == 2 and not node.kwargs:
        numbers = [argument for argument in node.args if isinstance(argument, int | float)]
        return len(numbers) == 1 and (kind in PRODUCTS or isinstance(node.args[0], Node))
    name = _operator(calls, node)
    if name in HOMOGENEOUS:
        if name != "identity":
            _check_positive(factor, f"it passes {calls.label(node)}, as only a positive factor may")
        return True
    return False


def why_not(calls: Calls, node: Node, entered: bool) -> str:
    """Return why a factor does not pass a call that it has entered, or comes from."""
    if node.op == "output":
        return "its output is the network's"
    if node.op == "placeholder":
        return "its input is the network's"
    verb = "its output enters" if entered else "its input comes from"
    if calls.kind(node) in _SUMS:
        return f"{verb} a sum ({calls.label(node)})"
    return f"{verb} {calls.label(node)}, which does not pass a factor on"


def _operator(calls: Calls, node: Node) -> str | None:
    """Return the operator that a node applies, ours or the network's own, or None if it applies none."""
    module = calls.module(node)
    if isinstance(module, Activation):
        return module.operator.name
    recognised = recognise(node, calls.modules)
    return recognised.operator if recognised is not None else None


def _check_positive(factor: Tensor, reason: str) -> None:
    if not bool((factor > 0).all()):
        raise NotExactError(reason)


def _constant_over_last(calls: Calls, node: Node, factor: Tensor, count: int) -> bool:
    if torch.Size(factor.shape[factor.ndim - count :]).numel() != 1:
        raise NotExactError(f"it differs within one channel of {calls.label(node)}")
    if not isinstance(calls.values[node], Shape):
        raise NotExactError(f"{calls.label(node)} does not make one tensor")
    return True


def _pads_with_zeros(calls: Calls, node: Node) -> bool:
    """Return whether padding puts zeros, or copies, along the dimensions behind that of the channels."""
    module = calls.module(node)
    if module is not None:
        return bool(module.value == 0)
    given = dict(zip(("pad", "mode", "value"), node.args[1:], strict=False)) | dict(node.kwargs)
    pad = given.get("pad")
    if not isinstance(pad, list | tuple) or len(pad) > 2 * (len(calls.shape(node)) - 2):
        return False
    return bool(given.get("mode", "constant") != "constant" or not given.get("value"))
