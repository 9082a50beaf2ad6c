"""Erdős-Rényi-kernel pruning: small layers stay denser than large ones (Evci et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size, nn

from safs.masks import Mask, prunable_weights
from safs.pruning.magnitude import magnitudes
from safs.pruning.method import Given, PruningMethod
from safs.pruning.random import random_scores
from safs.pruning.selection import keep_counts, removed_count
from spaces.errors import lookup


@dataclass(frozen=True)
class ErdosRenyiKernel(PruningMethod):
    """Give each layer the density of an Erdős-Rényi-kernel graph (Evci et al. 2020, Section 3, point 1).

    The density of a layer is proportional to (n_in + n_out + k_1 + k_2 + …)/(n_in·n_out·k_1·k_2·…), the sum of its
    weight's sizes over their product; without a kernel that is the Erdős-Rényi density of Mocanu et al. (2018). A
    layer that would be more than dense is dense, and the others share what it cannot take.

    Attributes:
        criterion: which weights of a layer stay: "magnitude" keeps the largest, "random" draws them (as the paper
            does, which trains the mask too).
    """

    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        lookup("criterion", self.criterion, dict.fromkeys(("magnitude", "random")))

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        weights = prunable_weights(model)
        total = sum(weight.numel() for weight in weights.values())
        kept = kept_counts(
            {name: weight.shape for name, weight in weights.items()}, total - removed_count(ratio, total)
        )
        scores = magnitudes(weights) if self.criterion == "magnitude" else random_scores(weights, given.seed)
        return keep_counts(scores, kept)


def kept_counts(shapes: Mapping[str, Size | tuple[int, ...]], kept: int) -> dict[str, int]:
    """Return how many weights each layer keeps; they add up to exactly `kept`.

    Rounded by largest remainder: every layer gets its share rounded down, and the weights left over go to the layers
    that lost most by it.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    shares = _shares({name: sum(shape) for name, shape in shapes.items()}, sizes, kept)
    counts = {name: math.floor(share) for name, share in shares.items()}
    open_layers = [name for name in shapes if counts[name] < sizes[name]]
    by_remainder = sorted(open_layers, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: kept - sum(counts.values())]:
        counts[name] += 1
    return counts


def _shares(weights: Mapping[str, int], sizes: Mapping[str, int], kept: int) -> dict[str, float]:
    """Return shares of `kept` in proportion to `weights`, none larger than its layer."""
    dense: set[str] = set()
    while True:
        left = kept - sum(sizes[name] for name in dense)
        scale = left / sum(weight for name, weight in weights.items() if name not in dense) if left else 0.0
        over = {name for name in weights if name not in dense and scale * weights[name] > sizes[name]}
        if not over:
            return {name: float(sizes[name]) if name in dense else scale * weights[name] for name in weights}
        dense |= over
