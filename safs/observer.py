"""What is told of a study while it runs, to be shown to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from safs.outcome import TrialOutcome
from safs.spec import TrialSpec


class Observer(Protocol):
    """Is told what happens in a study; shows it to people. Nothing that it does changes a result."""

    def warning(self, text: str) -> None:
        """Called with what people should know: of the network or its mask, or of the workers."""

    def expect(self, work: float, share: Callable[[TrialSpec], float]) -> None:
        """Called once it is known how much there is to train at most, and what share of it a trial is."""

    def phase(self, name: str, trials: int) -> None:
        """Called when a phase begins, with the number of trials that it may take."""

    def queued(self, phase: str, spec: TrialSpec) -> None:
        """Called when a trial is to be run, by the part of the study that asks for it."""

    def started(self, spec: TrialSpec, worker: str) -> None:
        """Called when a trial begins to train, or begins anew, and where."""

    def epoch(self, spec: TrialSpec, epoch: int, loss: float) -> None:
        """Called after every epoch of a trial, counted from 1, with its mean training loss."""

    def lost(self, spec: TrialSpec, reason: str) -> None:
        """Called when a trial stopped without an outcome; it is going to run again."""

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        """Called when a trial's outcome is known; `cached` if it was known before and cost nothing."""


class Silent:
    """Shows nothing."""

    def warning(self, text: str) -> None: ...

    def expect(self, work: float, share: Callable[[TrialSpec], float]) -> None: ...

    def phase(self, name: str, trials: int) -> None: ...

    def queued(self, phase: str, spec: TrialSpec) -> None: ...

    def started(self, spec: TrialSpec, worker: str) -> None: ...

    def epoch(self, spec: TrialSpec, epoch: int, loss: float) -> None: ...

    def lost(self, spec: TrialSpec, reason: str) -> None: ...

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None: ...
