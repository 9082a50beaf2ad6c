"""Activation functions that networks write out over several calls, such as x·σ(x).

A written-out activation is one site, the last of its calls. The calls stay in the graph as they are; only another
operator at the site removes them. It is known by its values, however it is spelled: the calls between a tensor and a
product or quotient are run on points of a line, and compared with the operators that networks write out.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from safs.graph_calls import ADDITIONS, ARITHMETIC, CLAMPS, DIVISIONS, PRODUCTS, SHAPE_ONLY, Modules, clamp, is_call
from safs.recognition import Recognised, recognise
from spaces.operators import get_operator

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_BENDING = {"sigmoid", "hardsigmoid", "tanh", "softplus", "relu6"}
_BENDING_CALLS: set[Any] = {torch.erf, torch.special.erf, "erf", *CLAMPS}
"""What written-out activations are made of: one of these, and arithmetic."""
_POWERS: set[Any] = {operator.pow, torch.pow, torch.square, "pow", "square"}
_WRITTEN_OUT = ("swish", "mish", "hardswish", "gelu", "gelu_tanh", "hard_mish")
_MOST_CALLS = 32
"""As many calls before a product are looked at; the longest known spelling has ten."""


def written_out(node: Node, modules: Modules) -> tuple[Node, Recognised] | None:
    """Return x, and which activation function of x a node is the last call of, or None if it is none."""
    if not is_call(node):
        return None
    clamped = clamp(node)
    if clamped is not None:
        x = node.all_input_nodes[0]
        return (x, Recognised(clamped)) if _comes_from_a_layer(x, modules) else None
    calls = _calls_before(node, modules) if node.target in PRODUCTS | DIVISIONS else []
    if not any(_bends(call, modules) for call in calls):
        return None
    uses = Counter(value for call in calls for value in call.all_input_nodes)
    for x in (value for value, times in uses.items() if times > 1):  # x, and a function of x that multiplies it
        recognised = _by_values(x, calls, modules)
        if recognised is not None:
            return x, recognised
    return None


def _comes_from_a_layer(node: Node, modules: Modules) -> bool:
    """Return whether a tensor is a layer's output, or a sum with one, reshaped or not: no variance, and no index."""
    if node.op == "call_module" and isinstance(modules.get(str(node.target)), _LAYERS):
        return True
    passes = is_call(node) and node.target in SHAPE_ONLY | ADDITIONS | {operator.iadd}
    return passes and any(_comes_from_a_layer(value, modules) for value in node.all_input_nodes)


def _calls_before(last: Node, modules: Modules) -> list[Node]:
    """Return a call and those before it that work number by number, nearest first."""
    calls = [last]
    for call in calls:
        before = [value for value in call.all_input_nodes if value not in calls and _is_pointwise(value, modules)]
        calls += before[: _MOST_CALLS - len(calls)]
    return calls


def _is_pointwise(node: Node, modules: Modules) -> bool:
    return (is_call(node) and node.target in ARITHMETIC | _POWERS) or _bends(node, modules)


def _bends(node: Node, modules: Modules) -> bool:
    """Return whether a call makes more than arithmetic can, and written-out activations have it."""
    recognised = recognise(node, modules)
    return (is_call(node) and node.target in _BENDING_CALLS) or (
        recognised is not None and recognised.operator in _BENDING
    )


def _by_values(x: Node, calls: Collection[Node], modules: Modules) -> Recognised | None:
    """Return the operator whose values the last of the calls (the first given) takes where x runs along a line."""
    points = torch.linspace(-8, 8, 65, dtype=torch.float64, device="cpu")
    values = _values(x, points, calls, modules)
    if values is None:
        return None
    slopes = [number for call in calls for number in call.args if isinstance(number, int | float)]
    sharp = [Recognised("quick_gelu", {} if slope == 1.702 else {"sharpness": float(slope)}) for slope in slopes]
    for one in (*map(Recognised, _WRITTEN_OUT), *sharp):
        expected = get_operator(one.operator)(points, **one.constants)
        if torch.allclose(values, expected, rtol=0, atol=1e-5):  # gelu and its tanh form are 5e-4 apart
            return one
    return None


def _values(x: Node, points: Tensor, calls: Collection[Node], modules: Modules) -> Tensor | None:
    """Return what the first of the calls gives where x takes the given values, or None if it takes other tensors too.

    The calls run as the network makes them, so that what one overwrites the next one reads.
    """
    known: dict[Node, Any] = {x: points.clone()}
    for call in sorted(calls):
        if call in known or not all(value in known for value in call.all_input_nodes):
            continue
        args, kwargs = map_arg((call.args, call.kwargs), known.__getitem__)
        if call.op == "call_module":
            known[call] = modules[str(call.target)].forward(*args, **kwargs)
        elif call.op == "call_method":
            known[call] = getattr(Tensor, str(call.target))(*args, **kwargs)
        else:
            known[call] = call.target(*args, **kwargs)  # type: ignore[operator]
    return known.get(next(iter(calls)))


def absorbed(node: Node, source: Node) -> set[Node]:
    """Return the calls between x and the last call of a written-out activation function of x."""
    inner: set[Node] = set()
    pending = [value for value in node.all_input_nodes if value is not source]
    while pending:
        value = pending.pop()
        inner.add(value)
        pending += [value for value in value.all_input_nodes if value is not source]
    return inner


def source_of(node: Node, modules: Modules) -> Node:
    """Return the tensor that an activation is applied to; for x·σ(x), written out, it is x."""
    written = written_out(node, modules)
    return written[0] if written else node.all_input_nodes[0]
