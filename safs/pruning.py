"""Pruning: choose which weights of a dense network to remove."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from safs.masks import Mask, prunable_weights
from spaces.errors import SafsError, lookup


def prune(model: nn.Module, ratio: float, *, method: str = "magnitude", scope: str = "layer") -> Mask:
    """Return a mask that removes `ratio` of a network's prunable weights; the network is not changed.

    Of n weights exactly floor(ratio·n) are removed: in every layer with the scope "layer", over all layers
    together with the scope "global".

    Args:
        model: the dense network.
        ratio: the share of weights to remove, in [0, 1).
        method: "magnitude" removes the weights of smallest absolute value (Han et al. 2015).
        scope: "layer" or "global".

    Raises:
        SafsError: if the ratio is outside [0, 1) or the network has nothing to prune.
        UnknownNameError: if there is no such method or scope.
    """
    if not 0 <= ratio < 1:
        raise SafsError(f"The pruning ratio must lie in [0, 1), but got {ratio}.")
    score = lookup("pruning method", method, METHODS)
    select = lookup("pruning scope", scope, SCOPES)
    weights = prunable_weights(model)
    if not weights:
        raise SafsError(f"{type(model).__name__} has no linear or convolution layer, so there is nothing to prune.")
    return select({name: score(weight.detach()) for name, weight in weights.items()}, ratio)


def _keep_by_layer(scores: dict[str, Tensor], ratio: float) -> Mask:
    return {name: _keep(score.flatten(), ratio).reshape(score.shape) for name, score in scores.items()}


def _keep_globally(scores: dict[str, Tensor], ratio: float) -> Mask:
    kept = _keep(torch.cat([score.flatten() for score in scores.values()]), ratio)
    parts = kept.split([score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _keep(scores: Tensor, ratio: float) -> Tensor:
    """Return which of the scores are kept: all but the floor(ratio·n) lowest, ties by position."""
    removed = math.floor(ratio * len(scores) + 1e-6)  # 0.07·100 is 7.000000000000001 in binary, 0.29·100 is 28.99…
    kept = torch.ones_like(scores, dtype=torch.bool)
    kept[torch.argsort(scores, stable=True)[:removed]] = False
    return kept


METHODS: dict[str, Callable[[Tensor], Tensor]] = {"magnitude": torch.abs}
"""How each pruning method scores a weight tensor: the lowest scores are removed."""

SCOPES: dict[str, Callable[[dict[str, Tensor], float], Mask]] = {"layer": _keep_by_layer, "global": _keep_globally}
"""How each scope makes a mask of the scores: the same share of every layer, or of all weights together."""
