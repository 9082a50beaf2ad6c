"""Random pruning: the baseline that every other method has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from safs.masks import Mask, prunable_weights
from safs.pruning.method import Given, PruningMethod
from safs.pruning.selection import SCOPES


@dataclass(frozen=True)
class Random(PruningMethod):
    """Remove weights drawn uniformly, without looking at them."""

    scopes: ClassVar[tuple[str, ...]] = ("layer", "global")

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        return SCOPES[str(scope)](random_scores(prunable_weights(model), given.seed), ratio)


def random_scores(weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return a uniform random number for every weight: the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator, dtype=torch.float64).to(weight.device)
        for name, weight in weights.items()
    }
