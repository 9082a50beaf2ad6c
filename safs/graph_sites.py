"""Which calls of a graph are activation functions, and which of those are gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.fx import Graph, Node

from safs.recognition import Recognised, recognise
from safs.tracing import caller
from safs.written_out import absorbed, gate, is_gated_linear_unit, written_out

CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
"""Layers behind which the last dimension holds the channels."""
CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
"""Layers behind which dimension 1 does."""


@dataclass(frozen=True)
class GraphSite:
    """A call of a graph that is an activation function, or a gate.

    Attributes:
        name: the path of its module, or of the caller, for a function.
        recognised: the unary operator; of a gate, only its name is one.
        gate: whether it is a gate.
        channel_dim: which dimension of its output, counting the batch as 0, holds the channels.
    """

    name: str
    recognised: Recognised
    gate: bool
    channel_dim: int


def graph_sites(graph: Graph, modules: Mapping[str, nn.Module]) -> dict[str, GraphSite]:
    """Return the activation functions and gates among a graph's calls, by the names of their nodes.

    Args:
        graph: the graph of a module.
        modules: that module's submodules by name.
    """
    written = {node: found for node in graph.nodes if (found := written_out(node, modules)) is not None}
    inner = {part for node, (source, _) in written.items() for part in absorbed(node, source)}
    sites: dict[str, GraphSite] = {}
    for node in graph.nodes:
        if is_gated_linear_unit(node, modules):
            sites[node.name] = GraphSite(_name(node), Recognised("glu"), True, 1)
            continue
        recognised = written[node][1] if node in written else recognise(node, modules)
        if recognised is None or node in inner:
            continue
        gating = gate(node, recognised, modules)
        what = Recognised(gating) if gating else recognised
        name = _name(node, recognised.operator if node in written else None)
        sites[node.name] = GraphSite(name, what, gating is not None, _channel_dim(node, modules))
    return sites


def _name(node: Node, written: str | None = None) -> str:
    """Return the path of a module, or that of the caller with the name of what it calls or writes out."""
    if node.op == "call_module":
        return str(node.target)
    path = caller(node)
    called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    function = written or called
    return f"{path}.{function}" if path else function


def _channel_dim(node: Node, modules: Mapping[str, nn.Module]) -> int:
    """Return the dimension of the channels, from the nearest layer before a site: 1, or -1 behind a linear one."""
    if node.op == "call_module" and isinstance(modules[str(node.target)], nn.PReLU):
        return 1  # by its definition
    while node.all_input_nodes:
        node = node.all_input_nodes[0]
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, CHANNELS_FIRST):
            return 1
        if isinstance(module, CHANNELS_LAST):
            return -1
    return 1
