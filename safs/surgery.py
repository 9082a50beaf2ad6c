"""Surgery: put unary operators with scaling factors at the activation sites of a network."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch.fx
from torch import nn
from torch.fx import Graph, Node

from safs.recognition import recognise
from safs.sites import Site, Sites, find_sites
from safs.tracing import rebuild
from spaces.activation import Activation, Value
from spaces.errors import SafsError
from spaces.operators import get_operator

ACTIVATIONS = "safs_activations"
"""The name of the submodule that holds the new activations, `site0`, `site1`, ... in forward order."""
_IN_PLACE_OPERATORS = {getattr(operator, name) for name in ("iadd", "isub", "imul", "itruediv", "ipow")}


@dataclass(frozen=True)
class SiteChoice:
    """What to put at one site: an operator with its scaling factors and constants.

    Attributes:
        operator: a name of the operator table.
        alpha, beta: the scaling factors: one number, or one per channel.
        constants: values of the operator's constants where they differ from the table's.
    """

    operator: str
    alpha: Value = 1.0
    beta: Value = 1.0
    constants: Mapping[str, Value] = field(default_factory=dict)


def apply_assignment(
    model: nn.Module,
    assignment: Sequence[str | SiteChoice],
    *,
    sites: Sites | None = None,
    input_shape: tuple[int, ...] | None = None,
    learn: bool = False,
    per_channel: bool = False,
) -> torch.fx.GraphModule:
    """Return a copy of a network with one unary operator at each activation site.

    Every state-dict name of the network stays; new parameters stand under `safs_activations`. A site that is
    given its own operator, with factors of 1 that are not trained, is left exactly as it is.

    Args:
        model: the network; it is not changed.
        assignment: one operator name, or `SiteChoice`, per site in forward order.
        sites: what `find_sites` found in `model`, if it was called before.
        input_shape: the shape of one example; needed (here or in `find_sites`) for values per channel.
        learn: make α, β and the operators' constants trainable parameters.
        per_channel: learn one value per channel instead of one per site.

    Raises:
        SafsError: if the network has no activation site, the number of operators is not the number of sites, or
            values per channel are asked for while shapes are not known.
        UnknownNameError: if an operator is not in the table.
    """
    sites = sites or find_sites(model, input_shape)
    if not len(sites):
        raise SafsError(f"{type(model).__name__} has no activation site, so there is nothing to search or replace.")
    if len(assignment) != len(sites):
        raise SafsError(f"The network has {len(sites)} activation sites, but got {len(assignment)} operators.")
    replacements: dict[str, nn.Module] = {}
    for site, choice in zip(sites, assignment, strict=True):
        choice = choice if isinstance(choice, SiteChoice) else SiteChoice(choice)
        activation = _activation(site, choice, learn, per_channel)
        if activation is not None:
            replacements[site.node] = activation
    return replace_sites(model, sites, replacements)


def _activation(site: Site, choice: SiteChoice, learn: bool, per_channel: bool) -> Activation | None:
    """Return the module for a site, or None where the network's own call already is what was chosen."""
    chosen = get_operator(choice.operator)
    own = choice.operator == site.operator
    same = not choice.constants or dict(choice.constants) == dict(site.constants)
    if own and same and not learn and (choice.alpha, choice.beta) == (1.0, 1.0):
        return None
    if (per_channel or chosen.per_channel) and site.channels is None:
        raise SafsError(f"Values per channel at {site.name!r} need the network's input shape, which was not given.")
    return Activation(
        chosen,
        alpha=choice.alpha,
        beta=choice.beta,
        constants=choice.constants or (site.constants if own else {}),
        learn=learn,
        channels=site.channels,
        per_channel=per_channel,
        channel_dim=site.channel_dim,
    )


def replace_sites(model: nn.Module, sites: Sites, replacements: Mapping[str, nn.Module]) -> torch.fx.GraphModule:
    """Return a copy of a network that calls the given modules at the given sites (by their nodes' names).

    Raises:
        SafsError: if the network has been through this before.
    """
    if hasattr(model, ACTIVATIONS):
        raise SafsError(f"{type(model).__name__} has {ACTIVATIONS!r} already; start from the network before that.")
    graph = copy.deepcopy(sites.graph)
    modules = dict(model.named_modules())
    nodes = {node.name: copied for node, copied in zip(sites.graph.nodes, graph.nodes, strict=True)}
    container = nn.Module()
    calls = []
    for index, site in enumerate(sites):
        if site.node not in replacements:
            continue
        container.add_module(f"site{index}", replacements[site.node])
        node = nodes[site.node]
        source, overwritten = _source(node), _overwritten(node, modules)
        with graph.inserting_before(node):
            call = graph.call_module(f"{ACTIVATIONS}.site{index}", (source,))
        if overwritten is not None:
            _redirect_later_uses(overwritten, node, call)
        _erase(node, call)
        calls.append(call)
    for call in calls:
        _protect(graph, call, modules)
    return rebuild(model, graph, **{ACTIVATIONS: container})


def _source(node: Node) -> Node:
    """Return the tensor that an activation is applied to; for x·σ(x), written out, it is x."""
    inputs = node.all_input_nodes
    if len(inputs) == 2:
        return next(a for a, b in (inputs, inputs[::-1]) if a in b.all_input_nodes)
    return inputs[0]


def _overwritten(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """Return the tensor that a call works on in place, or None if it makes a new one."""
    if node.op == "call_module":
        in_place = bool(getattr(modules.get(str(node.target)), "inplace", False))
    else:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        in_place = (name.endswith("_") and not name.endswith("__")) or node.target in _IN_PLACE_OPERATORS
        in_place = in_place or any(argument is True for argument in node.args[1:])
        in_place = in_place or node.kwargs.get("inplace") is True
    return node.all_input_nodes[0] if in_place and node.all_input_nodes else None


def _redirect_later_uses(overwritten: Node, node: Node, call: Node) -> None:
    """Give whatever reads an overwritten tensor after the call the call's result, which is what it read before."""
    later = node.next
    while later.op != "root":
        if overwritten in later.all_input_nodes:
            later.replace_input_with(overwritten, call)
        later = later.next


def _protect(graph: Graph, call: Node, modules: Mapping[str, nn.Module]) -> None:
    """Where a call that stays (dropout) overwrites an activation's output, let it overwrite a copy.

    The operator that was there may not have needed its output for the backward pass; the new one may.
    """
    if not any(_overwritten(user, modules) is call for user in call.users):
        return
    with graph.inserting_after(call):
        copied = graph.call_method("clone", (call,))
    call.replace_all_uses_with(copied, delete_user_cb=lambda user: user is not copied)


def _erase(node: Node, call: Node) -> None:
    """Remove a replaced call, and the sigmoid of a written-out x·σ(x) with it."""
    inputs = node.all_input_nodes
    node.replace_all_uses_with(call)
    node.graph.erase_node(node)
    for leftover in inputs:
        if len(inputs) == 2 and not leftover.users:
            leftover.graph.erase_node(leftover)


def read_choices(network: nn.Module, sites: Sites) -> list[SiteChoice]:
    """Return what stands at each site of a network made by `apply_assignment`, learned values included."""
    container = getattr(network, ACTIVATIONS, None)  # absent where every site kept its own call
    modules = dict(network.named_modules())
    nodes = {node.name: node for node in sites.graph.nodes}
    choices = []
    for index, site in enumerate(sites):
        activation = getattr(container, f"site{index}", None)
        if activation is not None:
            choices.append(SiteChoice(**activation.describe()))
        else:
            own = recognise(nodes[site.node], modules)  # the slopes of a PReLU may have been trained
            choices.append(SiteChoice(site.operator, constants=own.constants if own else {}))
    return choices
