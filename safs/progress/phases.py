"""The phases of a study that began, each with its trials; several may be under way side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from safs.outcome import TrialOutcome
from safs.spec import TrialSpec

_ANNOUNCED = {
    "dense": "dense network",
    "prune": "pruning",
    "uniform": "best single operator",
    "stage1": "stage 1",
    "finalists": "stage 1, finalists",
    "safs": "stage 2, safs",
    "stage2": "stage 2, stage2",
    "final": "final rows",
}
"""The names by which phases are announced, by those that the journal has for their trials."""


def journal_name(announced: str) -> str:
    """Return the name that the journal has for a phase."""
    return next((name for name, title in _ANNOUNCED.items() if title == announced), announced)


@dataclass
class Phase:
    """A phase that began.

    Attributes:
        name: as announced.
        trials: how many trials it may take; 0 if nobody knows.
        announced: whether it has begun; trials may be queued for it, in the background, before it has.
        began, ended: when, in seconds of the monotonic clock; `ended` is None while it may go on.
        done: trials whose outcome is known.
        open: trials that are queued or running.
        best: the lowest cost.
    """

    name: str
    trials: int
    announced: bool = True
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    done: int = 0
    open: set[TrialSpec] = field(default_factory=set)
    best: float | None = None

    @property
    def total(self) -> int | None:
        """How many trials make the phase complete: often fewer than announced, which is seen once it has ended."""
        if self.ended is not None:
            return self.done
        return max(self.trials, self.done) if self.trials else None

    @property
    def note(self) -> str:
        """The best cost so far, in words."""
        return "" if self.best is None else f"best cost {self.best:.4f}"


class Phases:
    """The phases that began, in their order."""

    def __init__(self) -> None:
        self.all: list[Phase] = []

    def begin(self, name: str, trials: int) -> Phase:
        """Begin a phase; those before it that wait for no trial have ended, until one is queued for them again."""
        for phase in self.all:
            if not phase.open and phase.ended is None:
                phase.ended = time.monotonic()
        early = next((phase for phase in self.all if phase.name == name and not phase.announced), None)
        begun = Phase(name, trials)
        if early is not None:
            self.all.remove(early)
            begun.done, begun.open, begun.best = early.done, early.open, early.best
        self.all.append(begun)
        return begun

    @property
    def shown(self) -> list[Phase]:
        """Those that have begun, or at least one of whose trials has ended."""
        return [phase for phase in self.all if phase.announced or phase.done]

    def end(self) -> None:
        """Mark all of them as ended."""
        for phase in self.all:
            phase.ended = phase.ended or time.monotonic()

    def of(self, name: str) -> Phase:
        """Return the phase that trials belong to whose runner calls it `name`: by its name, or else the latest."""
        title = _ANNOUNCED.get(name, name)
        for phase in reversed(self.all):
            if phase.name in (name, title):
                return phase
        if self.all and name not in _ANNOUNCED:
            return self.all[-1]
        self.all.append(Phase(title, 0, announced=False))
        return self.all[-1]

    def queued(self, name: str, spec: TrialSpec) -> Phase:
        """Count a trial that is to be run, and return its phase."""
        phase = self.of(name)
        phase.open.add(spec)
        phase.ended = None
        return phase

    def trial(self, name: str, spec: TrialSpec, outcome: TrialOutcome) -> Phase:
        """Count a trial whose outcome is known, and return its phase."""
        phase = next((each for each in self.all if spec in each.open), None) or self.of(name)
        phase.open.discard(spec)
        phase.done += 1
        if outcome.cost is not None:
            phase.best = outcome.cost if phase.best is None else min(phase.best, outcome.cost)
        return phase
