"""How long a training step takes: forward, backward and optimiser, measured in the training loop itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch
from torch import nn

from safs.spec import TrialSpec
from safs.surgery import apply_assignment
from safs.training import Callback, train
from safs.trial import Problem, computing
from spaces.errors import SafsError

WARM_UP = 2
"""Steps that are not timed: they allocate, and choose algorithms."""
FEWEST, MOST = 2, 30
"""Steps that are timed; between the two, until `ENOUGH` seconds have passed."""
ENOUGH = 1.0


class _Measured(Exception):
    """Ends a training that was only begun to be timed."""


class _StepTimer(Callback):
    """Notes when each step comes to its optimiser."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """The time from each step's optimiser to the next one's, the warm-up left out."""
        marks = self._marks[WARM_UP - 1 :]
        return [after - before for before, after in itertools.pairwise(marks)]

    def on_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._marks.append(time.perf_counter())
        timed = self.seconds
        if len(timed) >= FEWEST and (len(timed) == MOST or sum(timed) >= ENOUGH):
            raise _Measured


def step_seconds(spec: TrialSpec, problem: Problem, batch_size: int) -> float:
    """Return the median time of a step of a trial, with its threads and on its device.

    Raises:
        SafsError: if a step fails, as it would in the trial.
    """
    device = problem.data.device
    network = apply_assignment(
        problem.model, spec.assignment, sites=problem.sites, learn=spec.learn, per_channel=spec.per_channel
    ).to(device)
    # Enough for one long epoch: whether the loss is finite, which is not asked here, is looked at after an epoch.
    count = (WARM_UP + MOST) * batch_size
    indices = torch.arange(count, device=device) % len(problem.data)
    protocol = replace(spec.protocol, batch_size=batch_size)
    timer = _StepTimer(device)
    try:
        with computing(problem):
            train(network, problem.mask, problem.data, indices, protocol, seed=spec.seed, callbacks=[timer])
    except _Measured:
        return median(timer.seconds)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise SafsError(
            f"A training step of {batch_size} examples failed on {device} ({type(error).__name__}: {reason}), as it "
            "would in the study."
        ) from error
    raise AssertionError("the timer ends every training")
