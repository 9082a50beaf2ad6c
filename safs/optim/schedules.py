"""Learning-rate schedules of stage 2 (Table 4), stepped once at the end of each epoch.

With base rate b, epoch e counted from 0 and E epochs in all, epoch e runs at

    constant            b
    step                b, then 0.1·b from ⌈E/2⌉, then 0.01·b from ⌈3E/4⌉
    linear              b·(1 − e/E)
    cosine              b·(1 + cos(π·e/E))/2
    halving             b·0.5^⌊e/20⌋
    reduce_on_plateau   b, times 0.05 whenever the cost has not fallen for more than 2 epochs
    cosine_restarts     η + (b − η)·(1 + cos(π·(e mod T)/T))/2 with T as given, else max(1, ⌊E/4⌋), η = min(5e-5, b)

Each parameter group keeps its own b.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    StepLR,
)

from spaces.errors import SafsError, lookup

RESTART_FLOOR = 5e-5


class Schedule:
    """One interface over torch's schedulers, of which only the plateau one reads a cost."""

    def __init__(self, scheduler: LRScheduler) -> None:
        self._scheduler = scheduler

    def skip(self, epochs: int) -> None:
        """Set the learning rates to those after so many epochs; a plateau has seen no cost in them."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step\\(\\)` before")
            for _ in range(epochs):
                self._scheduler.step()

    def step(self, cost: float) -> None:
        """End an epoch whose training loss was `cost`, and set the learning rates of the next one."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(cost)
        else:
            self._scheduler.step()


def _constant(optimizer: Optimizer, _epochs: int) -> LRScheduler:
    return ConstantLR(optimizer, factor=1.0)


def _step(optimizer: Optimizer, epochs: int) -> LRScheduler:
    # Rounded up: a milestone at epoch 0 would shrink the first rate.
    return MultiStepLR(optimizer, milestones=[-(-epochs // 2), -(-3 * epochs // 4)], gamma=0.1)


def _linear(optimizer: Optimizer, epochs: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=epochs)


def _cosine(optimizer: Optimizer, epochs: int) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=epochs)


def _halving(optimizer: Optimizer, _epochs: int) -> LRScheduler:
    return StepLR(optimizer, step_size=20, gamma=0.5)


def _reduce_on_plateau(optimizer: Optimizer, _epochs: int) -> LRScheduler:
    return ReduceLROnPlateau(optimizer, mode="min", factor=0.05, patience=2, threshold=1e-4, min_lr=0.0, eps=1e-8)


def _cosine_restarts(optimizer: Optimizer, epochs: int, period: int | None = None) -> LRScheduler:
    # Not CosineAnnealingWarmRestarts: its one floor for all groups would raise a group that starts below it.
    period = period or max(1, epochs // 4)
    floors = [min(1.0, RESTART_FLOOR / group["lr"]) for group in optimizer.param_groups]
    return LambdaLR(optimizer, [partial(_restarting_cosine, period, floor) for floor in floors])


def _restarting_cosine(period: int, floor: float, epoch: int) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * (epoch % period) / period)) / 2


SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "constant": _constant,
    "step": _step,
    "linear": _linear,
    "cosine": _cosine,
    "halving": _halving,
    "reduce_on_plateau": _reduce_on_plateau,
    "cosine_restarts": _cosine_restarts,
}


def make_schedule(name: str, optimizer: Optimizer, epochs: int, *, restart_period: int | None = None) -> Schedule:
    """Return the schedule `name` for a training of `epochs` epochs.

    Args:
        name: A key of `SCHEDULES`.
        optimizer: Whose learning rates move.
        epochs: All epochs of the training.
        restart_period: T of cosine_restarts; no other schedule has one.

    Raises:
        SafsError: if the name is unknown (the message lists the choices), or a number of epochs is below 1.
    """
    build = lookup("schedule", name, SCHEDULES)
    for count in (epochs, restart_period):
        if count is not None and count < 1:
            raise SafsError(f"A schedule needs at least 1 epoch, but got {count}.")
    if restart_period is None:
        return Schedule(build(optimizer, epochs))
    assert name == "cosine_restarts", "a protocol with a restart period and another schedule was refused before"
    return Schedule(_cosine_restarts(optimizer, epochs, restart_period))
