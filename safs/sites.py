"""Activation sites: every *call* of an activation function in the forward graph, and the gates left out."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Graph, Interpreter, Node

from safs.recognition import ARITHMETIC, Recognised, fuse, hard_sigmoid_input, recognise
from safs.tracing import caller, rebuild, trace
from spaces.activation import Activation
from spaces.errors import SafsError

_MULTIPLICATIONS = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}
_SHAPE_ONLY = {
    torch.flatten, torch.unsqueeze, torch.squeeze, torch.reshape, torch.permute, torch.transpose, operator.getitem,
    F.interpolate, F.dropout, "view", "view_as", "reshape", "expand", "expand_as", "unsqueeze", "squeeze", "flatten",
    "unflatten", "permute", "transpose", "contiguous", "repeat",
}  # fmt: skip
_PASSED = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Upsample, nn.modules.dropout._DropoutNd)
_GATING = {"sigmoid", "hardsigmoid"}
_COMPOSED = {"sigmoid": "swish", "hardsigmoid": "hardswish"}
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Site:
    """One call of an activation function.

    Attributes:
        name: path of the module (or of the caller, for a function), with `#k` for the k-th call of several.
        operator: the unary operator that the network has there.
        constants: that operator's constants where they differ from the table's.
        shape: the shape of its output for one example, or None if the input's shape was not given.
        channel_dim: which dimension of the output, counting the batch as 0, holds the channels.
        node: the name of the graph's node.
    """

    name: str
    operator: str
    constants: Mapping[str, Any]
    shape: tuple[int, ...] | None
    channel_dim: int
    node: str

    @property
    def channels(self) -> int | None:
        """The number of channels, or None if the shape is not known or has none."""
        if not self.shape:
            return None
        return self.shape[self.channel_dim - 1 if self.channel_dim > 0 else self.channel_dim]


@dataclass(frozen=True)
class Gate:
    """A sigmoid that multiplies another tensor (squeeze-and-excitation): left as it is."""

    name: str
    operator: str


@dataclass(frozen=True)
class Sites:
    """What was found in a network: its activation sites and gates in forward order.

    Attributes:
        traced: how they were found: "fx", by symbolic tracing.
    """

    sites: tuple[Site, ...]
    gates: tuple[Gate, ...]
    traced: str = "fx"
    graph: Graph = field(repr=False, compare=False, kw_only=True)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sites in forward order."""
        return tuple(site.name for site in self.sites)

    @property
    def original(self) -> tuple[str, ...]:
        """The assignment that the network came with."""
        return tuple(site.operator for site in self.sites)


def find_sites(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Sites:
    """Return the activation sites of a network, in forward order.

    Args:
        model: any network that torch.fx can trace; it is not changed.
        input_shape: the shape of one example, such as (3, 32, 32); needed for the sites' shapes.

    Raises:
        SafsError: if the network cannot be traced, does not take input of that shape, or has been given other
            activations before.
    """
    if any(isinstance(module, Activation) for module in model.modules()):
        raise SafsError(f"{type(model).__name__} has SAFS's activations already; start from the network before that.")
    graph = trace(model)
    modules = dict(model.named_modules())
    fuse(graph, modules)
    shapes = _shapes(model, graph, input_shape) if input_shape else {}
    found: list[tuple[Node, Recognised]] = []
    gates: list[tuple[Node, Recognised]] = []
    for node in graph.nodes:
        recognised = recognise(node, modules)
        if recognised is None:
            continue
        if hard_sigmoid_input(node, modules) is not None and _gated_product(node, modules) is not None:
            recognised = Recognised("hardsigmoid")  # relu6(x + 3)/6, written out, as a gate
        product = _gated_product(node, modules) if recognised.operator in _GATING else None
        if product is None:
            found.append((node, recognised))
        elif _other_operand(product, node) is node.all_input_nodes[0]:
            found.append((product, Recognised(_COMPOSED[recognised.operator])))  # x·σ(x), written out
        else:
            gates.append((node, recognised))
    site_names, gate_names = _names([node for node, _ in found]), _names([node for node, _ in gates])
    sites = tuple(
        Site(
            name=name,
            operator=recognised.operator,
            constants=recognised.constants,
            shape=shapes.get(node.name),
            channel_dim=_channel_dim(node, modules),
            node=node.name,
        )
        for name, (node, recognised) in zip(site_names, found, strict=True)
    )
    return Sites(
        sites=sites,
        gates=tuple(Gate(name, what.operator) for name, (_, what) in zip(gate_names, gates, strict=True)),
        graph=graph,
    )


def _gated_product(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return the multiplication by another tensor that a sigmoid's output enters, or None.

    It may be reshaped, dropped out and shifted or scaled by numbers on the way.
    """
    for user in node.users:
        is_call = user.op in ("call_function", "call_method")
        if is_call and user.target in _MULTIPLICATIONS and _other_operand(user, node) is not None:
            return user
        if _passes(user, modules):
            product = _gated_product(user, modules)
            if product is not None:
                return product
    return None


def _passes(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    """Return whether a call only reshapes, drops out, or shifts or scales by numbers."""
    if node.op == "call_module":
        return isinstance(modules.get(str(node.target)), _PASSED)
    if node.op not in ("call_function", "call_method"):
        return False
    by_number = node.target in ARITHMETIC and any(isinstance(value, int | float) for value in node.args)
    return node.target in _SHAPE_ONLY or by_number


def _other_operand(product: Node, operand: Node) -> Node | None:
    others = [node for node in product.all_input_nodes if node is not operand]
    return others[0] if len(others) == 1 else None


def _names(nodes: list[Node]) -> list[str]:
    """Return a name for each call: its module's path, numbered from 1 where it is called several times."""
    bases = [_base_name(node) for node in nodes]
    total, seen = Counter(bases), Counter[str]()
    names = []
    for base in bases:
        seen[base] += 1
        names.append(f"{base}#{seen[base]}" if total[base] > 1 else base)
    return names


def _base_name(node: Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    path = caller(node)
    function = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    return f"{path}.{function}" if path else str(function)


def _shapes(model: nn.Module, graph: Graph, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...] | None]:
    """Return every node's output shape without the batch, from one pass of two blank examples."""
    parameter = next(model.parameters(), torch.zeros(()))
    example = torch.zeros(2, *input_shape, dtype=parameter.dtype, device=parameter.device)
    run = _ShapeRun(rebuild(model, copy.deepcopy(graph)).eval())
    try:
        with torch.no_grad():
            run.run(example)
    except Exception as error:  # whatever a forward pass may raise for input of the wrong shape
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SafsError(
            f"{type(model).__name__} does not take input of shape {tuple(input_shape)}: {reason}"
        ) from error
    return dict(zip((node.name for node in graph.nodes), run.shapes, strict=True))


class _ShapeRun(Interpreter):
    """Runs a network and notes the shape of every node's output without the batch, None for what is no tensor."""

    def __init__(self, network: torch.fx.GraphModule) -> None:
        super().__init__(network)
        self.shapes: list[tuple[int, ...] | None] = []

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        self.shapes.append(tuple(result.shape[1:]) if isinstance(result, Tensor) else None)
        return result


def _channel_dim(node: Node, modules: Mapping[str, nn.Module]) -> int:
    """Return the dimension of the channels, from the nearest layer before a site: 1, or -1 behind a linear one."""
    if node.op == "call_module" and isinstance(modules[str(node.target)], nn.PReLU):
        return 1  # by its definition
    while node.all_input_nodes:
        node = node.all_input_nodes[0]
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, _CHANNELS_FIRST):
            return 1
        if isinstance(module, _CHANNELS_LAST):
            return -1
    return 1
