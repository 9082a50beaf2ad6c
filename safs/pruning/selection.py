"""From scores to masks: exact numbers of weights, by layer or over all layers together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from safs.masks import Mask
from spaces.errors import SafsError

Scores = Mapping[str, Tensor]
"""A number for each prunable weight, by its state-dict name: the lowest are removed."""


def removed_count(ratio: float, total: int) -> int:
    """Return floor(ratio·total), of the ratio as it was written and not of its binary approximation."""
    return math.floor(ratio * total + 1e-6)  # 0.07·100 is 7.000000000000001 in binary, 0.29·100 is 28.99…


def exponential_counts(total: int, kept: int, rounds: int) -> list[int]:
    """Return how many of `total` weights are kept after each round: ever the same share of them, at last `kept`."""
    share = kept / total
    return [max(kept, math.floor(total * share ** (k / rounds))) for k in range(1, rounds)] + [kept]


def keep_by_layer(scores: Scores, ratio: float) -> Mask:
    """Return the mask that removes exactly floor(ratio·n) of the n weights of every layer."""
    return keep_counts(scores, {name: len_ - removed_count(ratio, len_) for name, len_ in _sizes(scores).items()})


def keep_globally(scores: Scores, ratio: float) -> Mask:
    """Return the mask that removes exactly floor(ratio·n) of all n weights, wherever their scores are lowest."""
    total = sum(_sizes(scores).values())
    return keep_highest(scores, total - removed_count(ratio, total))


def keep_counts(scores: Scores, kept: Mapping[str, int]) -> Mask:
    """Return the mask that keeps exactly so many weights of each layer."""
    _check_finite(scores)
    return {name: _highest(score.flatten(), kept[name]).reshape(score.shape) for name, score in scores.items()}


def keep_highest(scores: Scores, kept: int) -> Mask:
    """Return the mask that keeps exactly so many weights of all layers together."""
    _check_finite(scores)
    stays = _highest(torch.cat([score.flatten() for score in scores.values()]), kept)
    parts = stays.split([score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def narrow(mask: Mask, scores: Scores, kept: int) -> Mask:
    """Return the mask that keeps exactly so many of the weights that a mask keeps; scores must not be negative."""
    return keep_highest({name: score.masked_fill(~mask[name], -1.0) for name, score in scores.items()}, kept)


def _sizes(scores: Scores) -> dict[str, int]:
    return {name: score.numel() for name, score in scores.items()}


def _highest(scores: Tensor, kept: int) -> Tensor:
    """Return which of the scores are kept: all but the lowest, ties by position."""
    removed = len(scores) - kept
    stays = torch.ones_like(scores, dtype=torch.bool)
    if removed == 0:
        return stays
    threshold = scores.kthvalue(removed).values
    stays[scores < threshold] = False
    tied = (scores == threshold).nonzero().flatten()
    stays[tied[: removed - int((~stays).sum())]] = False
    return stays


def _check_finite(scores: Scores) -> None:
    for name, score in scores.items():
        wrong = score.numel() - int(torch.isfinite(score).sum())
        if wrong:
            raise SafsError(
                f"The weights of {name!r} cannot be ranked: {wrong} of their {score.numel()} scores are NaN or "
                "infinite; look for such weights in the checkpoint, or for a loss that overflows."
            )


SCOPES: dict[str, Callable[[Scores, float], Mask]] = {"layer": keep_by_layer, "global": keep_globally}
"""How each scope makes a mask of the scores: the same share of every layer, or of all weights together."""
