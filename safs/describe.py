"""What a network is, as JSON: its sites, gates, mask and connectivity. `safs inspect` and the report read it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from safs.checkpoints import Loaded
from safs.connectivity import Connectivity, connectivity
from safs.kept_whole import warnings_of
from safs.masks import sparsity
from safs.sites import Sites
from safs.surgery import apply_assignment
from safs.training import split_parameters
from spaces.errors import SafsError

_SHOWN = 3
"""Layers that a warning names."""


def describe(
    name: str,
    model: nn.Module,
    sites: Sites,
    mask: Mapping[str, Tensor] | None,
    input_shape: tuple[int, ...] | None,
    loaded: Loaded | None = None,
) -> dict[str, Any]:
    """Return what `safs inspect -o json` prints.

    These are `model`, `traced`, `sites`, `gates`, `kept` (what is not traced), `fixed` (what cannot be replaced),
    `mask`, `checkpoint` (how its mask came about) and `warnings`.
    """
    emptied = [name.removesuffix(".weight") for name, kept in (mask or {}).items() if not kept.any()]
    paths, warnings = None, [f"The mask prunes layer {name} whole: the signal is cut there." for name in emptied]
    warnings = [*warnings_of(sites, run=input_shape is not None), *warnings]
    if mask and input_shape:
        try:
            paths = connectivity(model, mask, sites, input_shape)
            warnings += [*_uncalled(paths, mask), *_warnings(paths, emptied)]
        except SafsError as error:
            warnings.append(f"connectivity could not be computed: {error}")
    return {
        "model": name,
        "traced": sites.traced,
        "sites": [
            {"name": site.name, "operator": site.operator, "shape": list(site.shape) if site.shape else None}
            for site in sites
        ],
        "gates": [{"name": gate.name, "operator": gate.operator} for gate in sites.gates],
        "kept": [{"name": path, "reason": reason} for path, reason in sites.parts.kept.items()],
        "fixed": [{"name": call.name, "operator": call.operator, "reason": call.reason} for call in sites.fixed],
        "mask": _describe_mask(mask, paths) if mask else None,
        "checkpoint": loaded.describe() if loaded else None,
        "warnings": warnings,
    }


def _describe_mask(mask: Mapping[str, Tensor], paths: Connectivity | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "sparsity": sparsity(mask),
        "nonzero": sum(int(kept.sum()) for kept in mask.values()),
        "total": sum(kept.numel() for kept in mask.values()),
        "layers": [
            {"name": name.removesuffix(".weight"), "nonzero": int(kept.sum()), "total": kept.numel()}
            for name, kept in mask.items()
        ],
    }
    if paths:
        by_name = {layer.name: layer for layer in paths.layers}
        for layer in described["layers"]:
            if layer["name"] in by_name:
                layer["outputs"] = by_name[layer["name"]].outputs
                layer["connected"] = by_name[layer["name"]].connected
        described |= {
            "logits": paths.logits,
            "connected_logits": paths.connected_logits,
            "accuracy_ceiling": 100 * paths.ceiling,
        }
    return described


def _uncalled(paths: Connectivity, mask: Mapping[str, Tensor]) -> list[str]:
    """Return a warning of the masked layers that the network has and never calls, such as auxiliary classifiers."""
    called = {layer.name for layer in paths.layers}
    layers = {name.removesuffix(".weight"): kept.numel() for name, kept in mask.items() if name.endswith(".weight")}
    idle = {name: size for name, size in layers.items() if name not in called}
    if not idle:
        return []
    share = 100 * sum(idle.values()) / sum(kept.numel() for kept in mask.values())
    return [
        f"The network never calls {_listed(list(idle))}, though {share:.0f} % of the weights that count as "
        "prunable are theirs."
    ]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more layers" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _warnings(paths: Connectivity, emptied: Collection[str]) -> list[str]:
    warnings = [
        f"Layer {layer.name} has no output that is connected to the input: the signal is cut there."
        for layer in paths.layers
        if layer.connected == 0 and layer.name not in emptied
    ]
    if paths.connected_logits < paths.logits:
        bound = "" if paths.ceiling == 1 else f", so no activation can take accuracy past {100 * paths.ceiling:.0f} %"
        warnings.append(
            f"Only {paths.connected_logits} of {paths.logits} logits still have a path from the input{bound}."
        )
    return warnings


def dense_flops(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the floating-point operations of one example's forward pass, zeros counted like other weights."""
    parameter = next(model.parameters())
    example = torch.zeros(1, *input_shape, dtype=parameter.dtype, device=parameter.device)
    network = copy.deepcopy(model).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(example)
    return int(counter.get_total_flops())


def extra_parameters(
    model: nn.Module, sites: Sites, assignment: tuple[str, ...], *, learn: bool, per_channel: bool
) -> int:
    """Return how many parameters the activations of an assignment add to a network."""
    _, scales = split_parameters(apply_assignment(model, assignment, sites=sites, learn=learn, per_channel=per_channel))
    return sum(parameter.numel() for parameter in scales)
