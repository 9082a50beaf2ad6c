"""Gradient flow: how much a gradient step lowers the loss, to first order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from safs.training import Callback


class GradientFlow(Callback):
    """Records the gradient flow of every epoch: the mean over its steps of the squared norm of the masked gradient.

    That is the first-order decrease in loss per unit of learning rate of a gradient step (Fig. 7 of the paper).
    """

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self._steps: list[Tensor] = []

    def on_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        # In double precision: squares of gradients that Adam still copes with overflow in single precision.
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        norms = torch._foreach_norm(gradients, dtype=torch.float64)
        self._steps.append(torch.stack(norms).square().sum())

    def on_epoch(self, epoch: int, loss: float) -> None:
        self.epochs.append(float(torch.stack(self._steps).mean()))
        self._steps.clear()
