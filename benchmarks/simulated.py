"""Trials that sleep, for measuring engines: workers that run them import nothing heavy."""

from __future__ import annotations

import math
import random
import time

from safs.outcome import Status, TrialOutcome
from safs.spec import TrialSpec

MEAN_S, SIGMA = 4.0, 0.5
"""Lengths are log-normal: the longest of 500 takes some 16 s."""


def seconds(spec: TrialSpec) -> float:
    """Return how long a simulated trial takes: the same whoever runs it."""
    return random.Random(spec.seed).lognormvariate(math.log(MEAN_S) - SIGMA**2 / 2, SIGMA)


def simulate(spec: TrialSpec, problem: object, callbacks: object) -> tuple[TrialOutcome, None]:
    """Sleep instead of training."""
    time.sleep(seconds(spec))
    return TrialOutcome(Status.SUCCEEDED, cost=random.Random(spec.seed).random(), seconds=seconds(spec)), None
