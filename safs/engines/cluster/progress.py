"""What a worker can say of the trial that it runs."""

from __future__ import annotations


class Progress:
    """Counts steps and keeps the losses of epochs; read by another thread.

    A callback of `safs.training`, of which it is no subclass: that would import torch on workers that only simulate.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.epochs: list[tuple[int, float]] = []

    def on_gradients(self, weights: object) -> None:
        """Count a step."""
        self.steps += 1

    def on_epoch(self, epoch: int, loss: float) -> None:
        """Keep the mean training loss of an epoch."""
        self.epochs.append((epoch, loss))
