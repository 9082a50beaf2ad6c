"""What calls of a graph do to a tensor: arithmetic, clamps, and calls that only move its numbers."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

Modules = Mapping[str, nn.Module]
"""A traced network's modules by name."""

ADDITIONS: set[Any] = {operator.add, torch.add, "add"}
PRODUCTS: set[Any] = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}
DIVISIONS: set[Any] = {operator.truediv, torch.div, torch.divide, "div", "div_", "divide"}
ARITHMETIC: set[Any] = {
    *ADDITIONS, *PRODUCTS, *DIVISIONS, operator.sub, torch.sub, operator.iadd, operator.isub, operator.itruediv,
    "sub", "add_", "sub_",
}  # fmt: skip
"""Calls that, with a number as one argument, shift or scale the other."""
SHAPE_ONLY: set[Any] = {
    torch.flatten, torch.unsqueeze, torch.squeeze, torch.reshape, torch.permute, torch.transpose, torch.chunk,
    torch.split, torch.unbind, operator.getitem, F.interpolate, F.dropout, "view", "view_as", "reshape", "expand",
    "expand_as", "unsqueeze", "squeeze", "flatten", "unflatten", "permute", "transpose", "contiguous", "repeat",
    "chunk", "split", "unbind",
}  # fmt: skip
CLAMPS: set[Any] = {
    torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min, torch.clamp_min_, "clamp", "clamp_", "clip",
    "clip_", "clamp_min", "clamp_min_",
}  # fmt: skip
_BOUNDS: Mapping[tuple[Any, Any], str] = {(0, None): "relu", (0, 6): "relu6"}
"""What a clamp of a layer's output is, by its least and greatest value."""


def is_call(node: Node) -> bool:
    """Return whether a node calls a function or a method."""
    return node.op in ("call_function", "call_method")


def clamp(node: Node) -> str | None:
    """Return the activation function that a clamp is by its bounds, or None if it is none."""
    if not is_call(node) or node.target not in CLAMPS:
        return None
    bounds = dict(zip(("min", "max"), node.args[1:], strict=False)) | node.kwargs
    return _BOUNDS.get((bounds.get("min"), bounds.get("max")))
