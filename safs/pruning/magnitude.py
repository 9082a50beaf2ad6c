"""Magnitude pruning: remove the weights of smallest absolute value."""

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
class Magnitude(PruningMethod):
    """Score a weight by |w| (Han et al. 2015, Section 3)."""

    scopes: ClassVar[tuple[str, ...]] = ("layer", "global")

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        return SCOPES[str(scope)](magnitudes(prunable_weights(model)), ratio)


def magnitudes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return |w| of every weight, in at least single precision."""
    return {
        name: weight.detach().abs().to(torch.promote_types(weight.dtype, torch.float32))
        for name, weight in weights.items()
    }
