"""Which calls of a PyTorch graph are activation functions, and which unary operator each one is.

Everything the surgery knows of PyTorch's own activations stands in these three tables: modules, functions and
tensor methods. An entry names the operator, and how its arguments map to the operator's constants. Below them stand
the activations that networks write out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

from spaces.operators import get_operator


@dataclass(frozen=True)
class Recognised:
    """The unary operator that a call computes, and the values of its constants there.

    Attributes:
        operator: a name of the operator table.
        constants: the constants where they differ from the table's: numbers, or lists per channel.
    """

    operator: str
    constants: Mapping[str, Any] = field(default_factory=dict)


_Arguments = tuple[tuple[str, str], ...]
"""Pairs of an argument's name in PyTorch and the name of the operator's constant, in PyTorch's order."""

_SLOPE: _Arguments = (("negative_slope", "slope"),)
_ALPHA: _Arguments = (("alpha", "a"),)
_SOFTPLUS: _Arguments = (("beta", "sharpness"),)
_HARDTANH: _Arguments = (("min_val", "low"), ("max_val", "high"))

_MODULES: dict[type[nn.Module], tuple[str, _Arguments]] = {
    nn.ReLU: ("relu", ()),
    nn.ReLU6: ("relu6", ()),
    nn.LeakyReLU: ("leaky_relu", _SLOPE),
    nn.PReLU: ("prelu", ()),
    nn.ELU: ("elu", _ALPHA),
    nn.CELU: ("celu", _ALPHA),
    nn.SELU: ("selu", ()),
    nn.GELU: ("gelu", ()),
    nn.SiLU: ("swish", ()),
    nn.Mish: ("mish", ()),
    nn.Hardswish: ("hardswish", ()),
    nn.Hardsigmoid: ("hardsigmoid", ()),
    nn.Hardtanh: ("hardtanh", _HARDTANH),
    nn.Sigmoid: ("sigmoid", ()),
    nn.LogSigmoid: ("logsigmoid", ()),
    nn.Tanh: ("tanh", ()),
    nn.Tanhshrink: ("tanhshrink", ()),
    nn.Softplus: ("softplus", _SOFTPLUS),
    nn.Softsign: ("softsign", ()),
}

_FUNCTIONS: dict[Callable[..., Any], tuple[str, _Arguments]] = {
    F.relu: ("relu", ()),
    F.relu_: ("relu", ()),
    torch.relu: ("relu", ()),
    torch.relu_: ("relu", ()),
    F.relu6: ("relu6", ()),
    F.leaky_relu: ("leaky_relu", _SLOPE),
    F.leaky_relu_: ("leaky_relu", _SLOPE),
    F.elu: ("elu", _ALPHA),
    F.elu_: ("elu", _ALPHA),
    F.celu: ("celu", _ALPHA),
    F.celu_: ("celu", _ALPHA),
    torch.celu: ("celu", _ALPHA),
    torch.celu_: ("celu", _ALPHA),
    F.selu: ("selu", ()),
    F.selu_: ("selu", ()),
    torch.selu: ("selu", ()),
    torch.selu_: ("selu", ()),
    F.gelu: ("gelu", ()),
    F.silu: ("swish", ()),
    F.mish: ("mish", ()),
    F.hardswish: ("hardswish", ()),
    F.hardsigmoid: ("hardsigmoid", ()),
    F.hardtanh: ("hardtanh", _HARDTANH),
    F.hardtanh_: ("hardtanh", _HARDTANH),
    F.sigmoid: ("sigmoid", ()),
    torch.sigmoid: ("sigmoid", ()),
    torch.sigmoid_: ("sigmoid", ()),
    F.logsigmoid: ("logsigmoid", ()),
    F.tanh: ("tanh", ()),
    torch.tanh: ("tanh", ()),
    torch.tanh_: ("tanh", ()),
    F.tanhshrink: ("tanhshrink", ()),
    F.softplus: ("softplus", _SOFTPLUS),
    F.softsign: ("softsign", ()),
}

_METHODS: dict[str, str] = {
    "relu": "relu",
    "relu_": "relu",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "tanh": "tanh",
    "tanh_": "tanh",
}


def recognise(node: Node, modules: Mapping[str, nn.Module]) -> Recognised | None:
    """Return what activation function a graph's node calls, or None if it calls none.

    Args:
        node: a node of the graph.
        modules: the traced network's modules by name (`dict(model.named_modules())`).
    """
    if node.op == "call_module":
        module = modules.get(str(node.target))
        return recognise_module(module) if module is not None else None
    if node.op == "call_function" and node.target in _FUNCTIONS:
        operator, arguments = _FUNCTIONS[node.target]
        given = dict(zip((name for name, _ in arguments), node.args[1:], strict=False)) | dict(node.kwargs)
        if any(isinstance(given.get(name), Node) for name, _ in arguments):
            return None  # a constant that the forward pass computes is none
        if operator == "gelu" and given.get("approximate", "none") == "tanh":
            operator = "gelu_tanh"
        return _recognised(operator, arguments, given)
    if node.op == "call_method" and node.target in _METHODS:
        return Recognised(_METHODS[str(node.target)])
    return None


def recognise_module(module: nn.Module) -> Recognised | None:
    """Return what activation function a module is, or None if it is none of PyTorch's."""
    if type(module) not in _MODULES:
        return None
    operator, arguments = _MODULES[type(module)]
    if isinstance(module, nn.PReLU):
        slopes = module.weight.detach().cpu().tolist()
        return Recognised("prelu", {"slope": slopes[0] if len(slopes) == 1 else slopes})
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        operator = "gelu_tanh"
    return _recognised(operator, arguments, vars(module))


def _recognised(operator: str, arguments: _Arguments, given: Mapping[str, Any]) -> Recognised:
    table = get_operator(operator).constants
    values = {constant: given[name] for name, constant in arguments if name in given}
    return Recognised(operator, {name: float(value) for name, value in values.items() if value != table[name]})


_ADDITIONS: set[Any] = {operator.add, torch.add, "add"}
_PRODUCTS: set[Any] = {operator.mul, torch.mul, torch.multiply, "mul", "multiply"}
_DIVISIONS: set[Any] = {operator.truediv, torch.div, torch.divide, "div", "divide"}
ARITHMETIC: set[Any] = {
    *_ADDITIONS, *_PRODUCTS, *_DIVISIONS, operator.sub, torch.sub, operator.iadd, operator.isub, operator.imul,
    operator.itruediv, "sub", "add_", "sub_", "mul_", "div_",
}  # fmt: skip
"""Calls that, with a number as one argument, shift or scale the other."""


def fuse(graph: Graph, modules: Mapping[str, nn.Module]) -> None:
    """Make one call, in place, of each mish x·tanh(softplus(x)) and hardswish x·relu6(x + 3)/6 that is written out.

    The one call equals them up to rounding.
    """
    for node in list(graph.nodes):
        for function, match in ((F.mish, _mish_input), (F.hardswish, _hardswish_input)):
            source = match(node, modules)
            if source is None:
                continue
            with graph.inserting_after(node):
                fused = graph.call_function(function, (source,))
            fused.meta = dict(node.meta)
            node.replace_all_uses_with(fused)
            _erase_unused(node, source)
            break


def _erase_unused(node: Node, source: Node) -> None:
    inputs = node.all_input_nodes
    node.graph.erase_node(node)
    for leftover in inputs:
        if leftover is not source and not leftover.users:
            _erase_unused(leftover, source)


def _mish_input(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return x if a node is x·tanh(softplus(x))."""
    for x, factor in _factors(node):
        softplus = _input_of(factor, "tanh", modules)
        if softplus is not None and _input_of(softplus, "softplus", modules) is x:
            return x
    return None


def _hardswish_input(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return x if a node is x·relu6(x + 3)/6, divided before or after the multiplication."""
    product = _sixth(node)
    for x, factor in _factors(product or node):
        relu6 = factor if product is not None else _sixth(factor)
        if relu6 is not None and hard_sigmoid_input(relu6, modules) is x:
            return x
    return None


def hard_sigmoid_input(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return x if a node is relu6(x + 3), which is six times the hard sigmoid of x."""
    shifted = _input_of(node, "relu6", modules)
    return _by_number(shifted, _ADDITIONS, 3) if shifted is not None else None


def _input_of(node: Node, name: str, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return what a node applies an operator, with the table's constants, to; None if it does not."""
    return node.all_input_nodes[0] if recognise(node, modules) == Recognised(name) else None


def _factors(node: Node) -> list[tuple[Node, Node]]:
    """Return the two tensors that a node multiplies, in both orders, or nothing if it does not."""
    if node.op not in ("call_function", "call_method") or node.target not in _PRODUCTS or len(node.args) != 2:
        return []
    a, b = node.args
    return [(a, b), (b, a)] if isinstance(a, Node) and isinstance(b, Node) else []


def _sixth(node: Node) -> Node | None:
    """Return x if a node is x/6, or x times a sixth."""
    return _by_number(node, _DIVISIONS, 6) or _by_number(node, _PRODUCTS, 1 / 6)


def _by_number(node: Node, targets: set[Any], number: float) -> Node | None:
    """Return the tensor that one of the given calls takes together with `number`, or None."""
    if node.op not in ("call_function", "call_method") or node.target not in targets or node.kwargs:
        return None
    tensors = [value for value in node.args if isinstance(value, Node)]
    others = [value for value in node.args if not isinstance(value, Node)]
    if targets is _DIVISIONS and tensors != [node.args[0]]:
        return None  # 6/x
    return tensors[0] if len(tensors) == 1 and others == [number] else None
