"""From the names in a file to those of a network, and from the parts of a weight to the weight and its mask.

`DataParallel` and `torch.compile` put `module.` and `_orig_mod.` into names, before all of them or within some. Pruning
tools keep a weight in parts: `weight_orig` and `weight_mask` (`torch.nn.utils.prune`), `weight` and `weight_mask`
(networks with masks as buffers), `parametrizations.weight.original` and a mask's buffer
(`torch.nn.utils.parametrize`), or a norm and a direction (`weight_norm`, old and new).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from safs.checkpoints.source import Source
from safs.masks import as_mask
from spaces.errors import SafsError, shown

T = TypeVar("T")

_INSERTED = frozenset({"module", "_orig_mod"})
_PARAMETRIZED = re.compile(r"(?P<owner>(?:.+\.)?)parametrizations\.(?P<tensor>[^.]+)\.(?P<part>.+)")
_SUFFIXED = re.compile(r"(?P<base>.+)(?P<part>_orig|_mask|\.mask|_g|_v)")
_WHOLE = ""
_MASKS = ("_mask", ".mask")
_ORIGINALS = ({"_orig"}, {"parametrizations.original"})
_NORMED = (("_g", "_v"), ("parametrizations.original0", "parametrizations.original1"))
_SHOWN = 4
"""Parts that a message names."""


class Names:
    """A network's state-dict names, found by the names that wrapped networks give them."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = set(own)
        self._bare: dict[str, list[str]] = {}
        for name in self._own:
            self._bare.setdefault(_bare(name), []).append(name)

    def locate(self, name: str) -> tuple[str, str]:
        """Return which tensor of the network an entry belongs to, and which part of it: empty for the whole.

        An entry that belongs to none is returned as it stands.
        """
        whole = self._find(name)
        if whole is not None:
            return whole, _WHOLE
        bare = _bare(name)
        if match := _PARAMETRIZED.fullmatch(bare):
            base, part = match["owner"] + match["tensor"], f"parametrizations.{match['part']}"
        elif match := _SUFFIXED.fullmatch(bare):
            base, part = match["base"], match["part"]
        else:
            return name, _WHOLE
        found = self._find(base)
        return (name, _WHOLE) if found is None else (found, part)

    def _find(self, name: str) -> str | None:
        if name in self._own:
            return name
        candidates = self._bare.get(_bare(name), [])
        return candidates[0] if len(candidates) == 1 else None


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _INSERTED)


@dataclass(frozen=True)
class Resolved:
    """Weights by a network's names, and the masks that their parts held."""

    state: dict[str, Tensor]
    mask: dict[str, Tensor]


def resolve(tensors: Mapping[str, Tensor], names: Names, source: Source) -> Resolved:
    """Return the weights and masks of a file by a network's names.

    What belongs to no tensor of the network stays under its own name.

    Raises:
        SafsError: if two entries are of one tensor, or the parts of a weight do not determine it.
    """
    state, mask = {}, {}
    for name, parts in _located(tensors, names, source).items():
        held = {part: tensor for part, tensor in parts.items() if _is_mask(part)}
        rest = {part: tensor for part, tensor in parts.items() if part not in held}
        if not rest:
            continue  # the weight itself is missing, which `check_fits` says
        weight = _weight(name, rest, source, masked=bool(held))
        kept = [as_mask(tensor, name, weight.shape, str(source)) for tensor in held.values()]
        if kept:
            mask[name] = torch.stack(kept).all(dim=0)
            weight = torch.where(mask[name], weight, torch.zeros_like(weight))
        state[name] = weight
    return Resolved(state, mask)


def resolve_mask(mask: Mapping[str, T], names: Names, source: Source) -> dict[str, T]:
    """Return the masks of a file by a network's names.

    They may be called `weight`, `weight_mask` or `weight.mask`. Where some are called by one of the latter two,
    whatever else the file holds are weights.

    Raises:
        SafsError: if two entries are of one weight, or one of none.
    """
    located = _located(mask, names, source)
    parts = {part for entries in located.values() for part in entries}
    wanted = [part for part in sorted(parts) if _is_mask(part)] or [_WHOLE]
    found: dict[str, T] = {}
    for name, entries in located.items():
        chosen = [part for part in wanted if part in entries]
        if len(chosen) > 1:
            raise SafsError(f"{source} holds more than one mask of {name!r}; leave one.")
        if chosen:
            found[name] = entries[chosen[0]]
    return found


def _located(entries: Mapping[str, T], names: Names, source: Source) -> dict[str, dict[str, T]]:
    """Return the parts of each tensor of a network, each with its entry."""
    located: dict[str, dict[str, T]] = {}
    origin: dict[tuple[str, str], str] = {}
    for entry, value in entries.items():
        name, part = names.locate(entry)
        if (name, part) in origin:
            both = f"{shown(origin[name, part])} and {shown(entry)}"
            raise SafsError(f"{source} holds both {both}, which are one tensor of the network; leave one.")
        origin[name, part] = entry
        located.setdefault(name, {})[part] = value
    return located


def _is_mask(part: str) -> bool:
    """Return whether a part is a mask: by its own name, or as a parametrization's buffer with "mask" in its name."""
    return part in _MASKS or bool(re.fullmatch(r"parametrizations\.\d+\..*mask[^.]*", part))


def _weight(name: str, parts: Mapping[str, Tensor], source: Source, *, masked: bool) -> Tensor:
    """Return a weight from its parts, masks left out."""
    if set(parts) == {_WHOLE} or (masked and set(parts) in _ORIGINALS):
        return next(iter(parts.values()))
    for norm, direction in _NORMED:
        if set(parts) == {norm, direction}:
            return _normed(name, parts[norm], parts[direction], source)
    kept = ", ".join(shown(part.removeprefix("parametrizations.") or name) for part in sorted(parts)[:_SHOWN])
    kept += ", ..." if len(parts) > _SHOWN else ""
    raise SafsError(
        f"{source} keeps {name!r} as {kept}, from which only its own network computes it; name a factory that builds "
        "that network, or save the state dict after torch.nn.utils.parametrize.remove_parametrizations."
    )


def _normed(name: str, norm: Tensor, direction: Tensor, source: Source) -> Tensor:
    """Return g·v/|v|, the norm taken over the dimensions in which g has one element (Salimans & Kingma 2016, Eq. 2)."""
    fits = norm.ndim == direction.ndim and all(a in (1, b) for a, b in zip(norm.shape, direction.shape, strict=True))
    if not (fits or norm.ndim == 0) or not (norm.is_floating_point() and direction.is_floating_point()):
        shapes = tuple(norm.shape), tuple(direction.shape)
        raise SafsError(f"{source} keeps {name!r} as norms {shapes[0]} of directions {shapes[1]}, which do not fit.")
    v = direction if direction.dtype is torch.float64 else direction.float()
    over = [dim for dim in range(v.ndim) if norm.ndim == 0 or norm.shape[dim] == 1]
    length = v.square().sum(over, keepdim=True).sqrt() if over else v.abs()
    return v * (norm.to(v) / length)
