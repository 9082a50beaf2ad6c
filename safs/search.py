"""The search loop: a searcher spends a budget of evaluations, with one or several pending at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from safs.outcome import TrialOutcome
from safs.runner import Runner
from safs.spec import TrialSpec
from searchers.base import ExhaustedError, Outcome, Searcher, Suggestion
from spaces.assignment import Assignment, AssignmentSpace

_START_STREAM = 0x57A127
"""Sets the random starting assignments apart from what searchers of the same seed draw."""


class Evaluator(Protocol):
    """Finds out what assignments cost."""

    def start(self, assignment: Assignment) -> None:
        """Begin to evaluate an assignment."""

    def outcome(self, assignment: Assignment) -> TrialOutcome | None:
        """Return the outcome of an assignment that was started, or None as long as it is not known."""


@dataclass(frozen=True)
class TrialEvaluator:
    """Evaluates assignments by trials.

    Attributes:
        runner: runs them, or knows their outcomes.
        phase: the part of the study that asks.
        spec: returns the trial of an assignment.
    """

    runner: Runner
    phase: str
    spec: Callable[[Assignment], TrialSpec]

    def start(self, assignment: Assignment) -> None:
        """Begin to evaluate an assignment."""
        self.runner.start(self.phase, self.spec(assignment))

    def outcome(self, assignment: Assignment) -> TrialOutcome | None:
        """Return the outcome of an assignment that was started, or None as long as it is not known."""
        spec = self.spec(assignment)
        return self.runner.outcome(spec) if self.runner.is_done(spec) else None


@dataclass(frozen=True)
class Evaluation:
    """One suggestion of a searcher and what came of it; `free` if its outcome was known before the search."""

    assignment: Assignment
    outcome: TrialOutcome
    free: bool


def starting_points(start: Literal["uniform", "random"], space: AssignmentSpace, seed: int) -> list[Assignment]:
    """Return what every searcher starts from with a seed: the single operators everywhere, or a random assignment."""
    if start == "uniform":
        return space.uniform()
    return [space.sample(np.random.default_rng([_START_STREAM, seed]))]


class Search:
    """A searcher that spends a budget: a strand of a study.

    The oldest pending outcome is told before each further ask, so the k-th ask always sees the outcomes of all but the
    last `pending` − 1 asks: the result depends on the searcher's seed and on `pending`, never on which trial ends
    first (invariant 4). A searcher that has exhausted its space spends less.

    Args:
        searcher: a new one.
        evaluator: finds out what its suggestions cost.
        budget: how many evaluations it may spend; exact.
        pending: how many suggestions wait for their outcome at a time, at least 1.
        known: assignments whose outcome is known: they cost nothing (invariant 6).

    Attributes:
        evaluations: what the searcher asked for, in that order, as far as the outcomes are known.
    """

    def __init__(
        self,
        searcher: Searcher,
        evaluator: Evaluator,
        *,
        budget: int,
        pending: int,
        known: Collection[Assignment] = (),
    ) -> None:
        self.evaluations: list[Evaluation] = []
        self._searcher = searcher
        self._evaluator = evaluator
        self._left = budget
        self._pending = pending
        self._free = frozenset(known)
        self._waiting: deque[Suggestion] = deque()

    def proceed(self) -> bool:
        """Ask and tell as far as that goes without waiting for an outcome; return whether the search has ended."""
        while True:
            self._ask()
            if not self._waiting:
                return True
            outcome = self._evaluator.outcome(self._waiting[0].assignment)
            if outcome is None:
                return False
            suggestion = self._waiting.popleft()
            self._searcher.tell(suggestion.id, Outcome(outcome.cost))
            self.evaluations.append(Evaluation(suggestion.assignment, outcome, suggestion.assignment in self._free))

    def _ask(self) -> None:
        """Ask for as many suggestions as may wait, as long as there is budget and the space has any left."""
        while len(self._waiting) < self._pending and self._left:
            try:
                suggestion = self._searcher.ask()
            except ExhaustedError:
                self._left = 0
                return
            self._evaluator.start(suggestion.assignment)
            self._waiting.append(suggestion)
            self._left -= suggestion.assignment not in self._free


def mode(pending: int) -> str:
    """Return in words what the number of pending suggestions means for a result."""
    return "sequential" if pending == 1 else f"{pending} suggestions pending, outcomes applied in ask order"
