"""Stratified, seeded splits, as indices: the images are never copied.

Both functions shuffle within each class and lay the classes end to end. Taking evenly spaced places of that order
gives every part its share of each class, to within one example.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from spaces.errors import SafsError


def folds(labels: Tensor, k: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return `k` pairs (train, validation) of ascending indices; the validation parts partition the data.

    Args:
        labels: [n], int64.
        k: Number of folds, from 2 to n.
        seed: Seeds the shuffle; the same seed gives the same folds on every device.

    Raises:
        SafsError: if `k` is out of range.
    """
    if not 2 <= k <= len(labels):
        raise SafsError(f"The number of folds must lie between 2 and {len(labels)} (examples), but got {k}.")
    order = _by_class(labels, seed)
    places = torch.arange(len(order)) % k
    return [_pair(order, places == fold, labels) for fold in range(k)]


def holdout(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return ascending indices (rest, held out), with `fraction` of the data, rounded, held out.

    Raises:
        SafsError: if either part would be empty.
    """
    n = len(labels)
    held = round(fraction * n) if 0 < fraction < 1 else 0
    if not 0 < held < n:
        raise SafsError(f"A holdout must leave both parts non-empty, but {fraction} of {n} examples was asked for.")
    places = torch.arange(n + 1) * held // n
    return _pair(_by_class(labels, seed), places[1:] > places[:-1], labels)


def _by_class(labels: Tensor, seed: int) -> Tensor:
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return shuffled[labels.cpu()[shuffled].argsort(stable=True)]


def _pair(order: Tensor, chosen: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    rest, part = order[~chosen].sort().values, order[chosen].sort().values
    return rest.to(labels.device), part.to(labels.device)


def split_fingerprint(parts: list[tuple[Tensor, Tensor]]) -> str:
    """Return 16 hex digits of the SHA-256 of which examples every part of a split holds."""
    digest = hashlib.sha256()
    for train, validation in parts:
        for indices in (train, validation):
            digest.update(len(indices).to_bytes(8, "little") + indices.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
