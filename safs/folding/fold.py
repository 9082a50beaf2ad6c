"""Folding the factors of a whole network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule

from safs.folding.agreement import combined, disagreements, losses, scaled, total_scales, used_tensors
from safs.folding.calls import Calls
from safs.folding.observing import observe
from safs.folding.plans import FactorName, Plan, Refusals, plan_site, stay
from safs.surgery import ACTIVATIONS
from spaces.activation import Activation


@dataclass(frozen=True)
class Unfolded:
    """A factor that stays at its site, and why."""

    site: str
    factor: FactorName
    reason: str


@dataclass(frozen=True)
class Folded:
    """What folding made of a network.

    Attributes:
        network: computes what the original does in evaluation, up to rounding, with fewer multiplications.
        factors: how many factors the original has, α and β of each site counted as one each.
        unfolded: those that stay.
    """

    network: nn.Module
    factors: int
    unfolded: tuple[Unfolded, ...]


def fold(network: nn.Module, input_shape: tuple[int, ...], names: Sequence[str] = ()) -> Folded:
    """Return a copy of a network, in evaluation mode, whose factors α, β are part of its layers where that is exact.

    β goes back into the layer that makes a site's input (weight and bias of a linear layer, a convolution or a
    normalisation), α on into every layer that reads its output (the weight; mean and weight of a batch norm). Both
    pass what only moves numbers (flattening, concatenation), dropout, average pooling and, if positive, max-pooling.
    Of a positively homogeneous operator (ReLU) either may go to either side. A sum passes no factor on. Zero weights
    stay zero.

    Args:
        network: what `apply_assignment` or `load_best` returned; it is not changed.
        input_shape: the shape of one example.
        names: the names of the sites in forward order, for `Unfolded.site`; by default their modules' paths.

    Raises:
        SafsError: if the network does not take input of that shape.
    """
    folded = copy.deepcopy(network).eval()
    sites = {path: module for path, module in folded.named_modules() if isinstance(module, Activation)}
    factors = sum(factor is not None for site in sites.values() for factor in (site.alpha, site.beta))
    readable = {f"{ACTIVATIONS}.site{index}": name for index, name in enumerate(names)}
    if factors and isinstance(folded, GraphModule):
        plans = _plan(folded, sites, observe(folded, input_shape, readable))
    else:
        plans = {path: stay(site, "its network was not traced by torch.fx") for path, site in sites.items()}
    for path, plan in plans.items():
        _set_factor(sites[path], "alpha", plan.alpha)
        _set_factor(sites[path], "beta", plan.beta)
    unfolded = [
        Unfolded(readable.get(path, path), factor, reason)
        for path, plan in plans.items()
        for factor, reason in plan.reasons.items()
    ]
    return Folded(folded, factors, tuple(unfolded))


def _plan(network: GraphModule, sites: dict[str, Activation], calls: Calls) -> dict[str, Plan]:
    """Decide what becomes of every factor, and change the layers accordingly.

    A tensor of which its calls do not ask the same, or that would lose accuracy, is left as it is, and everything is
    decided anew, until nothing more is left out.
    """
    used = used_tensors(network, calls)
    refusals: Refusals = {}
    while True:
        plans = {path: _plan_site(calls, path, site, refusals) for path, site in sites.items()}
        totals = total_scales(edit for plan in plans.values() for edit in plan.edits)
        new = disagreements(totals, used) or losses(combined(totals), used)
        if not new:
            break
        refusals = {**refusals, **new}
    for tensor, scale in combined(totals).items():
        held = used[tensor].tensor
        held.data.copy_(scaled(held, scale))
    return plans


def _plan_site(calls: Calls, path: str, site: Activation, refusals: Refusals) -> Plan:
    nodes = [node for node in calls.network.graph.nodes if node.op == "call_module" and node.target == path]
    if len(nodes) == 1:
        return plan_site(calls, nodes[0], site, refusals)
    where = f"is called {len(nodes)} times" if nodes else "lies in a part of the network that is kept whole"
    return stay(site, f"its activation {where}")


def _set_factor(site: Activation, name: FactorName, value: Tensor | None) -> None:
    """Let a site have this factor, or none: then nothing is multiplied."""
    old = getattr(site, name)
    if value is None or old is None:
        setattr(site, name, None)
        return
    flat = value.detach().flatten().to(old.dtype)
    setattr(site, name, nn.Parameter(flat if len(flat) > 1 else flat[0], requires_grad=old.requires_grad))
