"""Activation functions that networks write out over several calls, such as x·σ(x), and the gates among them.

A written-out activation is one site, the last of its calls. The calls stay in the graph as they are; only another
operator at the site removes them.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from safs.recognition import Recognised, recognise

_ADDITIONS: set[Any] = {operator.add, torch.add, "add"}
_PRODUCTS: set[Any] = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}
_DIVISIONS: set[Any] = {operator.truediv, torch.div, torch.divide, "div", "div_", "divide"}
_ARITHMETIC: set[Any] = {
    *_ADDITIONS, *_PRODUCTS, *_DIVISIONS, operator.sub, torch.sub, operator.iadd, operator.isub, operator.itruediv,
    "sub", "add_", "sub_",
}  # fmt: skip
"""Calls that, with a number as one argument, shift or scale the other."""
_SHAPE_ONLY: set[Any] = {
    torch.flatten, torch.unsqueeze, torch.squeeze, torch.reshape, torch.permute, torch.transpose, operator.getitem,
    F.interpolate, F.dropout, "view", "view_as", "reshape", "expand", "expand_as", "unsqueeze", "squeeze", "flatten",
    "unflatten", "permute", "transpose", "contiguous", "repeat",
}  # fmt: skip
_SHAPE_ONLY_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Upsample, nn.modules.dropout._DropoutNd)
_GATING = {"sigmoid", "hardsigmoid"}

Modules = Mapping[str, nn.Module]
"""The traced network's modules by name."""


def written_out(node: Node, modules: Modules) -> tuple[Node, Recognised] | None:
    """Return x, and which activation function of x a node is the last call of, or None if it is none."""
    for x, factor in _factors(node):
        recognised = _by_factor(x, factor, modules)
        if recognised is not None:
            return x, recognised
    product = _sixth(node)
    for x, factor in _factors(product) if product is not None else ():
        if hard_sigmoid_input(factor, modules) is x:
            return x, Recognised("hardswish")
    return None


def _by_factor(x: Node, factor: Node, modules: Modules) -> Recognised | None:
    """Return which activation function x·factor is, if factor is a function of x that makes it one."""
    softplus = _input_of(factor, "tanh", modules)
    if softplus is not None and _input_of(softplus, "softplus", modules) is x:
        return Recognised("mish")
    relu6 = _sixth(factor)
    if _input_of(factor, "hardsigmoid", modules) is x or (relu6 and hard_sigmoid_input(relu6, modules) is x):
        return Recognised("hardswish")
    inner = _input_of(factor, "sigmoid", modules)
    if inner is x:
        return Recognised("swish")
    scale = _scale(inner, x) if inner is not None else None
    if scale is not None:
        return Recognised("quick_gelu", {} if scale == 1.702 else {"sharpness": scale})
    return None


def hard_sigmoid_input(node: Node, modules: Modules) -> Node | None:
    """Return x if a node is relu6(x + 3), which is six times the hard sigmoid of x."""
    shifted = _input_of(node, "relu6", modules)
    return _by_number(shifted, _ADDITIONS, 3) if shifted is not None else None


def gate(node: Node, recognised: Recognised, modules: Modules) -> str | None:
    """Return the name of the gate that an activation function's call is, or None if it is an activation.

    A gate is a sigmoid, or hard sigmoid, that multiplies another tensor. The swish, ReLU or GELU of a gated linear
    unit (SwiGLU, ReGLU, GEGLU) is an activation, and may be another one.
    """
    if hard_sigmoid_input(node, modules) is not None:
        return "hardsigmoid" if _multiplies(node, modules) else None  # relu6(x + 3)/6, written out
    if recognised.operator in _GATING:
        return recognised.operator if _multiplies(node, modules) else None
    return None


def is_gated_linear_unit(node: Node, modules: Modules) -> bool:
    """Return whether a node is x·σ(y) of the halves of its input, in one call."""
    if node.op == "call_module":
        return type(modules.get(str(node.target))) is nn.GLU
    return node.op == "call_function" and node.target is F.glu


def absorbed(node: Node, source: Node) -> set[Node]:
    """Return the calls between x and the last call of a written-out activation function of x."""
    inner: set[Node] = set()
    pending = [value for value in node.all_input_nodes if value is not source]
    while pending:
        value = pending.pop()
        inner.add(value)
        pending += [value for value in value.all_input_nodes if value is not source]
    return inner


def _multiplies(node: Node, modules: Modules) -> bool:
    """Return whether a call's output multiplies another tensor.

    It may be reshaped, dropped out and shifted or scaled by numbers on the way.
    """
    for user in node.users:
        if _is_call(user) and user.target in _PRODUCTS and _other_operand(user, node) is not None:
            return True
        if _passes(user, modules) and _multiplies(user, modules):
            return True
    return False


def source_of(node: Node, modules: Modules) -> Node:
    """Return the tensor that an activation is applied to; for x·σ(x), written out, it is x."""
    written = written_out(node, modules)
    return written[0] if written else node.all_input_nodes[0]


def _is_call(node: Node) -> bool:
    return node.op in ("call_function", "call_method")


def _passes(node: Node, modules: Modules) -> bool:
    """Return whether a call only reshapes, drops out, or shifts or scales by numbers."""
    if node.op == "call_module":
        return isinstance(modules.get(str(node.target)), _SHAPE_ONLY_MODULES)
    by_number = node.target in _ARITHMETIC and any(isinstance(value, int | float) for value in node.args)
    return _is_call(node) and (node.target in _SHAPE_ONLY or by_number)


def _other_operand(product: Node, operand: Node) -> Node | None:
    others = [node for node in product.all_input_nodes if node is not operand]
    return others[0] if len(others) == 1 else None


def _input_of(node: Node, name: str, modules: Modules) -> Node | None:
    """Return what a node applies an operator, with the table's constants, to; None if it does not."""
    return node.all_input_nodes[0] if recognise(node, modules) == Recognised(name) else None


def _factors(node: Node) -> list[tuple[Node, Node]]:
    """Return the two tensors that a node multiplies, in both orders, or nothing if it does not."""
    if not _is_call(node) or node.target not in _PRODUCTS or len(node.args) != 2:
        return []
    a, b = node.args
    return [(a, b), (b, a)] if isinstance(a, Node) and isinstance(b, Node) else []


def _sixth(node: Node) -> Node | None:
    """Return x if a node is x/6, or x times a sixth."""
    return _by_number(node, _DIVISIONS, 6) or _by_number(node, _PRODUCTS, 1 / 6)


def _scale(node: Node, x: Node) -> float | None:
    """Return c if a node is c·x."""
    numbers = [value for value in node.args if isinstance(value, int | float)] if _is_call(node) else []
    scaled = len(numbers) == 1 and _by_number(node, _PRODUCTS, numbers[0]) is x
    return float(numbers[0]) if scaled else None


def _by_number(node: Node, targets: set[Any], number: float) -> Node | None:
    """Return the tensor that one of the given calls takes together with `number`, or None."""
    if not _is_call(node) or node.target not in targets or node.kwargs:
        return None
    tensors = [value for value in node.args if isinstance(value, Node)]
    others = [value for value in node.args if not isinstance(value, Node)]
    if targets is _DIVISIONS and tensors != [node.args[0]]:
        return None  # 6/x
    return tensors[0] if len(tensors) == 1 and others == [number] else None
