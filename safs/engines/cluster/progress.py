"""What a worker can say of the trial that it runs."""

from __future__ import annotations

import time


class Progress:
    """Notes when the last step was done, and the losses of epochs; read by another thread.

    A callback of `safs.training`, of which it is no subclass: that would import torch on workers that only simulate.
    """

    def __init__(self) -> None:
        self.epochs: list[tuple[int, float]] = []
        self._stirred = time.monotonic()

    @property
    def stalled(self) -> float:
        """For how many seconds no step has been done."""
        return time.monotonic() - self._stirred

    def on_gradients(self, weights: object) -> None:
        """Note that a step is being done."""
        self._stirred = time.monotonic()

    def on_epoch(self, epoch: int, loss: float) -> None:
        """Keep the mean training loss of an epoch."""
        self.epochs.append((epoch, loss))
