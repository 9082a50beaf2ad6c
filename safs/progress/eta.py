"""How long a study has still to go: the work that is left, by the rate of this session."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from safs.report.text import duration
from safs.spec import TrialSpec


class TimeLeft:
    """Estimates the time left from what was trained since it was said how much there is to train.

    A trial counts once and whole as soon as it has ended, however it ended; while it runs, by its epochs. What was
    known before makes the work less and says nothing of the rate. An estimate stands until the next epoch ends
    somewhere: between epochs it could only grow.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work = 0.0
        self._share: Callable[[TrialSpec], float] = lambda spec: 0.0
        self._ended: set[TrialSpec] = set()
        self._done = 0.0
        self._trained = 0.0
        self._running: dict[TrialSpec, float] = {}
        self._began: float | None = None
        self._latest = 0.0

    def expect(self, work: float, share: Callable[[TrialSpec], float]) -> None:
        """Note how much there is to train from now on, and what returns a trial's share of it, in the same unit."""
        self._work, self._share = (work if math.isfinite(work) else 0.0), share
        self._ended.clear()
        self._done = self._trained = 0.0
        self._began = self._clock() if self._running else None

    def started(self, spec: TrialSpec) -> None:
        """Note that a trial begins to train."""
        if self._began is None:
            self._began = self._clock()
        self._running[spec] = 0.0

    def epoch(self, spec: TrialSpec, epoch: int) -> None:
        """Note that a running trial has trained to the end of an epoch of its protocol."""
        first, last = spec.span or (0, spec.protocol.epochs)
        self._running[spec] = min(max((epoch - first) / max(last - first, 1), 0.0), 1.0)
        self._latest = self._clock()

    def lost(self, spec: TrialSpec) -> None:
        """Note that a trial stopped, and what it had trained is gone."""
        self._running.pop(spec, None)

    def ended(self, spec: TrialSpec, cached: bool) -> None:
        """Note that a trial's outcome is known; `cached` if it was known before."""
        self._running.pop(spec, None)
        if not cached:
            self._latest = self._clock()
        if spec in self._ended:
            return
        self._ended.add(spec)
        share = self._share_of(spec)
        self._done += share
        if not cached:
            self._trained += share

    def fraction(self) -> float | None:
        """Return how much of the work is done, in [0, 1], or None if nobody said how much there is."""
        return min((self._done + self._under_way()) / self._work, 1.0) if self._work > 0 else None

    def seconds(self) -> float | None:
        """Return an estimate of the time left in seconds, or None as long as there is nothing to base it on."""
        fraction, under_way = self.fraction(), self._under_way()
        trained = self._trained + under_way
        if fraction is None or self._began is None or trained <= 0:
            return None
        if not self._trained and 0.0 in self._running.values():
            return None  # the first of several workers says nothing of their rate together
        seconds = (1 - fraction) * self._work / trained * max(self._latest - self._began, 0.0)
        return seconds if math.isfinite(seconds) else None

    def text(self) -> str:
        """Return for example "about 3 min 20 s left", or nothing."""
        seconds = self.seconds()
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _under_way(self) -> float:
        return sum(part * self._share_of(spec) for spec, part in self._running.items())

    def _share_of(self, spec: TrialSpec) -> float:
        share = self._share(spec)
        return share if math.isfinite(share) and share > 0 else 0.0
