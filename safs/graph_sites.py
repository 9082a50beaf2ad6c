"""Which calls of a graph are activation functions, and which of those are gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.fx import Graph, Node

from safs.gates import gating, is_gated_linear_unit, multiplies
from safs.modes import is_number
from safs.recognition import Recognised, recognise
from safs.tracing import caller
from safs.written_out import absorbed, written_out

_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


@dataclass(frozen=True)
class GraphSite:
    """A call of a graph that is an activation function, or a gate.

    Attributes:
        name: the path of its module, or of the caller, for a function.
        recognised: the unary operator; of a gate, only its name is one.
        gate: whether it is a gate.
        gating: the name of the gate that it is, or is where Python code multiplies its output by another tensor.
        channel_dim: which dimension of its output, counting the batch as 0, holds the channels.
    """

    name: str
    recognised: Recognised
    gate: bool
    gating: str | None
    channel_dim: int


def graph_sites(graph: Graph, modules: Mapping[str, nn.Module]) -> dict[str, GraphSite]:
    """Return the activation functions and gates among a graph's calls, by the names of their nodes.

    Args:
        graph: the graph of a module.
        modules: that module's submodules by name.
    """
    written = {node: found for node in graph.nodes if (found := written_out(node, modules)) is not None}
    inner = {part for node, (source, _) in written.items() for part in absorbed(node, source)}
    computed = _computed(graph, modules)
    sites: dict[str, GraphSite] = {}
    for node in graph.nodes:
        if is_gated_linear_unit(node, modules):
            sites[node.name] = GraphSite(_name(node), Recognised("glu"), True, "glu", 1)
            continue
        recognised = written[node][1] if node in written else recognise(node, modules)
        if recognised is None or node in inner:
            continue
        kind = gating(node, recognised, modules)
        gate = kind is not None and multiplies(node, modules)
        if not gate and node not in computed:
            continue
        name = _name(node, recognised.operator if node in written else None)
        what = Recognised(kind) if gate and kind else recognised
        sites[node.name] = GraphSite(name, what, gate, kind, _channel_dim(node, modules))
    return sites


def _computed(graph: Graph, modules: Mapping[str, nn.Module]) -> set[Node]:
    """Return the calls that depend on the input, or on a layer's output (Swin V2 has an MLP of its coordinates).

    The others, such as the softplus of a parameter, are parameters in another form.
    """
    computed: set[Node] = set()
    for node in graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        has_weights = module is not None and next(module.parameters(), None) is not None
        is_layer = has_weights and recognise(node, modules) is None and bool(node.all_input_nodes)
        if node.op == "placeholder" or is_layer or not computed.isdisjoint(node.all_input_nodes):
            computed.add(node)
    return computed


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
    while inputs := [value for value in node.all_input_nodes if not is_number(value)]:
        node = inputs[0]
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        dim = channel_dim_behind(module) if module is not None else None
        if dim is not None:
            return dim
    return 1


def channel_dim_behind(module: nn.Module) -> int | None:
    """Return the dimension that holds the channels behind a layer: 1, or -1 for the last; None if it does not tell.

    A layer norm over several dimensions normalises images, and a subclass may compute another one (LayerNorm2d).
    """
    if isinstance(module, _CHANNELS_FIRST):
        return 1
    if isinstance(module, nn.LayerNorm):
        usual = len(module.normalized_shape) == 1 and type(module).forward is nn.LayerNorm.forward
        return -1 if usual else None
    return -1 if isinstance(module, nn.Linear) else None
