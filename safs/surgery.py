"""Surgery: put unary operators with scaling factors at the activation sites of a network."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.fx import Graph, Node

from safs.rebuilding import rebuild
from safs.recognition import recognise, recognise_module
from safs.sites import Site, Sites, find_sites
from safs.stand_ins import StandIn, Start
from safs.written_out import absorbed, source_of
from spaces.activation import Activation, Value
from spaces.errors import SafsError
from spaces.operators import get_operator

ACTIVATIONS = "safs_activations"
"""The name of the submodule that holds the new activations, `site0`, `site1`, ... in forward order."""
_START = "start"
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
) -> nn.Module:
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
        raise SafsError(_no_channels(site, chosen.name))
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


def _no_channels(site: Site, name: str) -> str:
    """Return why a site has no values per channel."""
    if site.shape is None:
        return f"Values per channel at {site.name!r} need the network's input shape, which was not given."
    return (
        f"{name!r} with values per channel does not fit {site.name!r}, whose output is one number for each example; "
        "leave out per_channel, and choose an operator with one value per site (not srelu) there."
    )


def replace_sites(model: nn.Module, sites: Sites, replacements: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of a network that calls the given modules at the given sites (by their nodes' names).

    It is a `GraphModule` where the network itself can be traced, else one of the network's own class.

    Raises:
        SafsError: if the network has been through this before.
    """
    if hasattr(model, ACTIVATIONS):
        raise SafsError(f"{type(model).__name__} has {ACTIVATIONS!r} already; start from the network before that.")
    container = nn.Module()
    for index, site in enumerate(sites):
        if site.node in replacements:
            container.add_module(f"site{index}", replacements[site.node])
    swaps, start = _stand_ins(sites, replacements)
    if start is not None:
        container.add_module(_START, start)
    children: dict[str, dict[str, nn.Module]] = {"": {ACTIVATIONS: container} if list(container.children()) else {}}
    graphs = {}
    for path, original in sites.parts.graphs.items():
        replaced = [
            (index, site)
            for index, site in enumerate(sites)
            if site.part == path and site.call is None and site.node in replacements
        ]
        if path:  # the activations of all parts are submodules of the network
            children[path] = {
                f"safs_site{index}": StandIn([replacements[site.node]], [False]) for index, site in replaced
            }
        prefix = "safs_site" if path else f"{ACTIVATIONS}.site"
        calls = {_node_name(site): f"{prefix}{index}" for index, site in replaced}
        overwritten = {_node_name(site) for _, site in replaced if site.overwritten}
        modules = dict(model.get_submodule(path).named_modules())
        graphs[path] = _replace_calls(original, calls, modules, overwritten)
    if start is not None and "" in graphs:
        _begin(graphs[""])
    network = rebuild(model, graphs, children, swaps)
    if start is not None and "" not in graphs:
        network.register_forward_pre_hook(start.before)
    return network


def _node_name(site: Site) -> str:
    """Return the name of a site's node within its part's graph."""
    return site.node.rpartition(":")[2]


def _stand_ins(
    sites: Sites, replacements: Mapping[str, nn.Module]
) -> tuple[dict[str, Callable[[nn.Module], StandIn]], Start | None]:
    """Return what makes the stand-in of each module whose calls are replaced, and what begins to count its calls.

    A call that is no site, or is not replaced, calls the original module.
    """
    start = Start()
    swaps: dict[str, Callable[[nn.Module], StandIn]] = {}
    for path in dict.fromkeys(site.part for site in sites if site.call is not None and site.node in replacements):
        by_call = {site.call: site for site in sites if site.part == path and site.call is not None}

        def make(original: nn.Module, path: str = path, by_call: Mapping[int, Site] = by_call) -> StandIn:
            calls = [by_call.get(call) for call in range(sites.counts[path])]
            activations = [replacements.get(site.node, original) if site else original for site in calls]
            stand_in = StandIn(activations, [site is not None and site.overwritten for site in calls], original)
            start.add(stand_in)
            return stand_in

        swaps[path] = make
    several = any(sites.counts[path] > 1 for path in swaps)
    return swaps, start if several else None


def _begin(graph: Graph) -> None:
    """Let a graph begin to count the calls of stand-ins anew."""
    first = next(node for node in graph.nodes if node.op != "placeholder")
    with graph.inserting_before(first):
        graph.call_module(f"{ACTIVATIONS}.{_START}")


def _replace_calls(
    original: Graph, targets: Mapping[str, str], modules: Mapping[str, nn.Module], overwritten: set[str]
) -> Graph:
    """Return a copy of a graph that calls the given submodules in place of the given nodes."""
    graph = copy.deepcopy(original)
    calls = []
    for node, copied in zip(list(original.nodes), list(graph.nodes), strict=True):
        if node.name not in targets:
            continue
        source, target = source_of(copied, modules), _overwritten(copied, modules)
        with graph.inserting_before(copied):
            call = graph.call_module(targets[node.name], (source,))
        if target is not None:
            _redirect_later_uses(target, copied, call)
        _erase(copied, call, source)
        calls.append((call, node.name in overwritten))
    for call, always in calls:
        _protect(graph, call, modules, always)
    return graph


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


def _protect(graph: Graph, call: Node, modules: Mapping[str, nn.Module], always: bool) -> None:
    """Where a call that stays (dropout) overwrites an activation's output, let it overwrite a copy.

    The operator that was there may not have needed its output for the backward pass; the new one may.
    """
    if not always and not any(_overwritten(user, modules) is call for user in call.users):
        return
    with graph.inserting_after(call):
        copied = graph.call_method("clone", (call,))
    call.replace_all_uses_with(copied, delete_user_cb=lambda user: user is not copied)


def _erase(node: Node, call: Node, source: Node) -> None:
    """Remove a replaced call, and what only it used of an activation that is written out over several calls."""
    inner = absorbed(node, source)
    node.replace_all_uses_with(call)
    node.graph.erase_node(node)
    for leftover in sorted(inner, reverse=True):
        if not leftover.users:
            leftover.graph.erase_node(leftover)


def read_choices(network: nn.Module, sites: Sites) -> list[SiteChoice]:
    """Return what stands at each site of a network made by `apply_assignment`, learned values included."""
    container = getattr(network, ACTIVATIONS, None)  # absent where every site kept its own call
    choices = []
    for index, site in enumerate(sites):
        activation = getattr(container, f"site{index}", None)
        if activation is not None:
            choices.append(SiteChoice(**activation.describe()))
        else:
            choices.append(SiteChoice(site.operator, constants=_own_constants(network, site, sites)))
    return choices


def _own_constants(network: nn.Module, site: Site, sites: Sites) -> Mapping[str, Any]:
    """Return the constants of a site that kept its own call; the slopes of a PReLU may have been trained."""
    if site.operator != "prelu":
        return site.constants
    if site.call is None:
        part = network.get_submodule(site.part)
        modules = {path: _unswapped(module) for path, module in part.named_modules(remove_duplicate=False)}
        (node,) = (n for n in sites.parts.graphs[site.part].nodes if n.name == _node_name(site))
        own = recognise(node, modules)
    else:
        own = recognise_module(_unswapped(network.get_submodule(site.part)))
    return own.constants if own else {}


def _unswapped(module: nn.Module) -> nn.Module:
    """Return the module that a stand-in was put in the place of, or the module itself."""
    return module.original or module if isinstance(module, StandIn) else module
