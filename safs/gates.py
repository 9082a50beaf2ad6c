"""Gates: sigmoids that multiply another tensor, as in squeeze-and-excitation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from safs.graph_calls import ADDITIONS, ARITHMETIC, PRODUCTS, SHAPE_ONLY, Modules, clamp, is_call
from safs.modes import is_number
from safs.recognition import Recognised, recognise

_SHAPE_ONLY_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Upsample, nn.modules.dropout._DropoutNd)
_GATING = {"sigmoid", "hardsigmoid"}


def gating(node: Node, recognised: Recognised, modules: Modules) -> str | None:
    """Return the name of the gate that an activation function's call is if it multiplies another tensor, or None.

    Gates are sigmoids, or hard sigmoids. The swish, ReLU or GELU of a gated linear unit (SwiGLU, ReGLU, GEGLU) is an
    activation, and may be another one.
    """
    if _is_hard_sigmoid(node, modules):
        return "hardsigmoid"
    return recognised.operator if recognised.operator in _GATING else None


def _is_hard_sigmoid(node: Node, modules: Modules) -> bool:
    """Return whether a node is relu6(x + 3), which is six times the hard sigmoid of x."""
    if clamp(node) != "relu6" and recognise(node, modules) != Recognised("relu6"):
        return False
    shifted = node.all_input_nodes[0]
    return is_call(shifted) and shifted.target in ADDITIONS and 3 in shifted.args and not shifted.kwargs


def is_gated_linear_unit(node: Node, modules: Modules) -> bool:
    """Return whether a node is x·σ(y) of the halves of its input, in one call."""
    if node.op == "call_module":
        return type(modules.get(str(node.target))) is nn.GLU
    return node.op == "call_function" and node.target is F.glu


def multiplies(node: Node, modules: Modules) -> bool:
    """Return whether a call's output multiplies another tensor.

    It may be reshaped, dropped out and shifted or scaled by numbers on the way.
    """
    for user in node.users:
        if is_call(user) and user.target in PRODUCTS and _other_operand(user, node) is not None:
            return True
        if _passes(user, modules) and multiplies(user, modules):
            return True
    return False


def _passes(node: Node, modules: Modules) -> bool:
    """Return whether a call only reshapes, drops out, or shifts or scales by numbers."""
    if node.op == "call_module":
        return isinstance(modules.get(str(node.target)), _SHAPE_ONLY_MODULES)
    by_number = node.target in ARITHMETIC and any(is_number(value) for value in node.args)
    return is_call(node) and (node.target in SHAPE_ONLY or by_number)


def _other_operand(product: Node, operand: Node) -> Node | None:
    others = [node for node in product.all_input_nodes if node is not operand and not is_number(node)]
    return others[0] if len(others) == 1 else None
