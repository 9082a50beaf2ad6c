"""What a worker can say of the trial that it runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from safs.training import Callback


class Progress(Callback):
    """Counts steps and keeps the losses of epochs; read by another thread."""

    def __init__(self) -> None:
        self.steps = 0
        self.epochs: list[tuple[int, float]] = []

    def on_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        self.steps += 1

    def on_epoch(self, epoch: int, loss: float) -> None:
        self.epochs.append((epoch, loss))
