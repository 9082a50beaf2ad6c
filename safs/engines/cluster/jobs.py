"""Trials on their way through the engine: what happened to each, and how the running ones get on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.worker import Epochs, Place
from safs.observer import Observer
from safs.outcome import Reason, Status, TrialOutcome
from safs.spec import TrialSpec
from safs.trial_log import TrialLog


@dataclass(eq=False)
class Job:
    """A trial on its way.

    Attributes:
        spec: the trial.
        deaths: how often its worker died while its node lived.
        refusals, refused_after: how often a worker could not run it, and how many trials had ended the first time.
        node_losses: how often its worker's node was lost.
        failure: how it ran out of memory, after which it gets a whole device; None if it has not.
        failed_on: where that was.
    """

    spec: TrialSpec
    deaths: int = 0
    refusals: int = 0
    refused_after: int = 0
    node_losses: int = 0
    failure: TrialOutcome | None = None
    failed_on: Place | None = None


@dataclass(eq=False)
class Run:
    """A job that a worker is busy with.

    Attributes:
        job: the job.
        reference: to what the worker returns.
        log: of the trial.
        began: when it began (`time.monotonic`).
        asked, asked_at: a reference to its answer on how it gets on, or None if it has not been asked, and since when.
        stalled: for how many seconds it had done no training step when it last answered.
        epochs: how many of its epochs are known.
    """

    job: Job
    reference: Any
    log: TrialLog
    began: float = field(default_factory=time.monotonic)
    asked: Any = None
    asked_at: float = 0.0
    stalled: float = 0.0
    epochs: int = 0

    def note(self, epochs: Epochs, observer: Observer) -> None:
        """Log and tell those of a trial's epochs that were not known yet."""
        for epoch, loss in epochs[self.epochs :]:
            self.log.on_epoch(epoch, loss)
            observer.epoch(self.job.spec, epoch, loss)
        self.epochs = max(self.epochs, len(epochs))

    def overdue(self, resources: ResourcesConfig) -> str | None:
        """Return why it is to be stopped, if it is: by what its worker said, or as that says nothing any more."""
        now, limit = time.monotonic(), resources.trial_timeout
        if limit is not None and now - self.began > limit:
            return f"It took longer than `resources.trial_timeout`, {limit:g} s.\n"
        unanswered = now - self.asked_at if self.asked is not None else 0.0
        if max(self.stalled, unanswered) > resources.stall_timeout:
            return f"It did no training step within `resources.stall_timeout`, {resources.stall_timeout:g} s.\n"
        return None

    def failure(self, reason: Reason, text: str) -> TrialOutcome:
        """Return the outcome of a trial that could not say itself how it ended."""
        return TrialOutcome(Status.FAILED, reason=reason, traceback=text, seconds=time.monotonic() - self.began)
