"""Which entries of a checkpoint are the weights, and which the mask.

Tools put the state dict under one of several names, also one in the other. Where a file holds several, the first in
`WRAPPERS` wins: the trained weights before their moving average, whose pruned weights an average of unpruned ones need
not have left at zero.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from safs.checkpoints.source import Source
from spaces.errors import SafsError, shown

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema")
"""The names under which the weights may stand; the first that holds some wins."""
DEEPEST = 4
"""How many wrappers may stand in each other."""


@dataclass(frozen=True)
class Unwrapped:
    """The weights in a file.

    Attributes:
        tensors: by the names that they have in the file.
        mask: what stands beside them as `mask`, if anything does.
        wrappers: where they stood, outermost first; empty if the file is a state dict.
        left: other places in the file where weights stand, which are not read.
    """

    tensors: dict[str, Tensor]
    mask: Mapping[str, Any] | None
    wrappers: tuple[str, ...]
    left: tuple[str, ...]


def unwrap(content: Any, source: Source) -> Unwrapped:
    """Return the weights of what a file holds: a state dict, a whole network, or either under a usual name.

    Raises:
        SafsError: if it holds neither, tensors that are not plain, or a mask that is none.
    """
    wrappers: list[str] = []
    left: list[str] = []
    mask: Any = None
    while len(wrappers) < DEEPEST and isinstance(content, Mapping):
        found = [name for name in WRAPPERS if _holds_weights(content.get(name), DEEPEST)]
        mask = _mask_beside(content, bare=not found, source=source) if mask is None else mask
        if not found:
            break
        left += [".".join([*wrappers, name]) for name in found[1:]]
        wrappers.append(found[0])
        content = content[found[0]]
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        raise SafsError(f"{source} must hold a state dict, but holds a {type(content).__name__}.")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor) and isinstance(name, str)}
    if not tensors:
        seen = ", ".join(reprlib.repr(name) for name in itertools.islice(content, 8)) or "none"
        raise SafsError(f"{source} must hold a state dict, but holds no tensor; its keys: {seen}.")
    check_plain(tensors, source)
    return Unwrapped(tensors, mask, tuple(wrappers), tuple(left))


def check_plain(tensors: Mapping[str, Tensor], source: Source) -> None:
    """Check that tensors hold one number for each of their elements.

    Raises:
        SafsError: if one is sparse, quantized or on no device.
    """
    for name, tensor in tensors.items():
        sparse = "sparse" if tensor.layout is not torch.strided else ""
        kind = "quantized" if tensor.is_quantized else "without values (meta)" if tensor.is_meta else sparse
        if kind:
            raise SafsError(f"{source} must hold plain tensors, but {shown(name)} is {kind}; save it as a dense one.")


def _holds_weights(value: Any, depth: int) -> bool:
    if isinstance(value, nn.Module):
        return True
    if not isinstance(value, Mapping) or not depth:
        return False
    inside = any(_holds_weights(value.get(name), depth - 1) for name in WRAPPERS)
    return inside or any(isinstance(entry, Tensor) for entry in value.values())


def _mask_beside(content: Mapping[Any, Any], *, bare: bool, source: Source) -> Mapping[str, Any] | None:
    """Return the mask that stands beside the weights, if any. A tensor among bare weights is one of them."""
    mask = content.get("mask")
    if mask is None or (bare and isinstance(mask, Tensor)):
        return None
    if not isinstance(mask, Mapping):
        raise SafsError(
            f"{source} has a `mask` that is a {type(mask).__name__}; it must hold a tensor of 0 and 1 "
            "by the name of each masked weight."
        )
    if not all(isinstance(name, str) for name in mask):
        raise SafsError(f"{source} has a `mask` that is not by the names of weights.")
    check_plain({name: value for name, value in mask.items() if isinstance(value, Tensor)}, source)
    return mask
