"""What all calls of a tensor ask of it: a shared layer is changed only if they ask the same, and lose nothing by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from safs.folding.calls import Calls
from safs.folding.layers import Edit, Side

Key = tuple[int, Side]
"""The id of a tensor, and the side of its layer at which a factor was."""


@dataclass(frozen=True)
class Used:
    """A parameter or buffer of a network, with the calls that use it."""

    name: str
    tensor: Tensor
    nodes: set[Node] = field(default_factory=set)


def used_tensors(network: GraphModule, calls: Calls) -> dict[int, Used]:
    """Return every parameter and buffer of a network by its id."""
    tensors: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
    tensors |= network.named_buffers(remove_duplicate=False)
    used: dict[int, Used] = {}
    for name, tensor in tensors.items():
        used.setdefault(id(tensor), Used(name, tensor))
    for node in network.graph.nodes:
        module = calls.module(node)
        if module is not None:
            for tensor in (*module.parameters(), *module.buffers()):
                used[id(tensor)].nodes.add(node)
        elif node.op == "get_attr" and str(node.target) in tensors:
            used[id(tensors[str(node.target)])].nodes.add(node)
    return used


def total_scales(edits: Iterable[Edit]) -> dict[Key, dict[Node, Tensor]]:
    """Return what each call asks of each tensor, all its edits multiplied."""
    totals: dict[Key, dict[Node, Tensor]] = defaultdict(dict)
    for edit in edits:
        by_node = totals[id(edit.tensor), edit.side]
        by_node[edit.node] = edit.scale * by_node[edit.node] if edit.node in by_node else edit.scale
    return dict(totals)


def disagreements(totals: Mapping[Key, Mapping[Node, Tensor]], used: Mapping[int, Used]) -> dict[Key, str]:
    """Return the tensors of which not all calls ask the same, with the reason for leaving them as they are."""
    refused = {}
    for key, by_node in totals.items():
        tensor = used[key[0]]
        scales = [scale.expand(tensor.tensor.shape) for scale in by_node.values()]
        agree = set(by_node) == tensor.nodes and all(torch.equal(scale, scales[0]) for scale in scales)
        if not agree:
            refused[key] = f"{tensor.name} is shared by calls that do not all have this factor"
    return refused


def combined(totals: Mapping[Key, Mapping[Node, Tensor]]) -> dict[int, Tensor]:
    """Return what multiplies each tensor, by its id, once all its calls ask the same: both sides together."""
    scales: dict[int, Tensor] = {}
    for (tensor, _), by_node in totals.items():
        scale = next(iter(by_node.values()))
        scales[tensor] = scales[tensor] * scale if tensor in scales else scale
    return scales


def losses(scales: Mapping[int, Tensor], used: Mapping[int, Used]) -> dict[Key, str]:
    """Return the tensors whose numbers would overflow or lose accuracy, with the reason for leaving them."""
    refused: dict[Key, str] = {}
    for tensor, scale in scales.items():
        if not _holds(used[tensor].tensor, scale):
            reason = f"{used[tensor].name} would overflow or lose accuracy"
            refused |= {(tensor, "input"): reason, (tensor, "output"): reason}
    return refused


def _holds(tensor: Tensor, scale: Tensor) -> bool:
    """Return whether a scaled tensor is finite, and underflow in it small against the largest number beside it.

    Numbers are beside each other if they are scaled alike.
    """
    new = scaled(tensor, scale)
    alike = [dim for dim in range(new.ndim) if scale.shape[dim] == 1]
    largest, before = (x.detach().abs().amax(alike, keepdim=True) if alike else x.abs() for x in (new, tensor))
    visible = (largest >= torch.finfo(new.dtype).tiny) | (before == 0)
    return bool(torch.isfinite(new).all()) and bool(visible.all())


def scaled(tensor: Tensor, scale: Tensor) -> Tensor:
    """Return a tensor, multiplied; its zeros are +0.0."""
    wide = torch.promote_types(tensor.dtype, torch.float32)  # half precision is rounded once, at the end
    return (tensor.detach().to(wide) * scale.to(wide) + 0.0).to(tensor.dtype)
