"""What is counted of a running study, whichever way it is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from safs.outcome import TrialOutcome
from safs.progress.eta import TimeLeft
from safs.progress.phases import Phase, Phases
from safs.spec import TrialSpec


@dataclass
class Open:
    """A trial that is queued or running.

    Attributes:
        id: its id.
        phase: the part of the study that asked for it, as the journal calls it; empty if it was not said.
        title: the phase as it was announced.
        epochs: the number of its last epoch.
        worker: where it runs, or None while it waits.
        began: when it began to train, in seconds of the monotonic clock.
        epoch, loss: its latest epoch that ended, 0 before the first, and that epoch's mean training loss.
    """

    id: str
    phase: str
    title: str
    epochs: int
    worker: str | None = None
    began: float = 0.0
    epoch: int = 0
    loss: float | None = None


class Tally:
    """Counts the phases, the trials that are open and the time left, and shows nothing of it.

    What shows it may draw in another thread than the one that trains, and reads under the lock.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.phases = Phases()
        self.left = TimeLeft()
        self.open: dict[TrialSpec, Open] = {}

    def warning(self, text: str) -> None:
        """Count nothing."""

    def expect(self, work: float, share: Callable[[TrialSpec], float]) -> None:
        with self.lock:
            self.left.expect(work, share)

    def phase(self, name: str, trials: int) -> None:
        with self.lock:
            self.phases.begin(name, trials)

    def queued(self, phase: str, spec: TrialSpec) -> None:
        with self.lock:
            self.open[spec] = _waiting(spec, phase, self.phases.queued(phase, spec).name)

    def started(self, spec: TrialSpec, worker: str) -> None:
        with self.lock:
            before = self.open.pop(spec, _waiting(spec, "", ""))
            trial = _waiting(spec, before.phase, before.title)
            trial.worker, trial.began = worker, time.monotonic()
            self.open[spec] = trial  # as the last: trials are shown in the order in which they started
            self.left.started(spec)

    def epoch(self, spec: TrialSpec, epoch: int, loss: float) -> None:
        with self.lock:
            trial = self.open.get(spec)
            if trial and trial.worker is not None:  # what a lost worker still says is no progress
                trial.epoch, trial.loss = epoch, loss
                self.left.epoch(spec, epoch)

    def lost(self, spec: TrialSpec, reason: str) -> None:
        with self.lock:
            if trial := self.open.get(spec):
                self.open[spec] = _waiting(spec, trial.phase, trial.title)
            self.left.lost(spec)

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        self.ended(phase, spec, outcome, cached)

    def ended(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> Phase:
        """Count a trial whose outcome is known, and return its phase."""
        with self.lock:
            self.open.pop(spec, None)
            self.left.ended(spec, cached)
            return self.phases.trial(phase, spec, outcome)


def _waiting(spec: TrialSpec, phase: str, title: str) -> Open:
    return Open(spec.id, phase, title, epochs=(spec.span or (0, spec.protocol.epochs))[1])
