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
from safs.strands import Strand
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


def search(
    searcher: Searcher, evaluator: Evaluator, *, budget: int, pending: int, known: Collection[Assignment] = ()
) -> Strand[list[Evaluation]]:
    """Let a new searcher spend a budget, and return what it asked for, in that order.

    The oldest pending outcome is told before each further ask, so the k-th ask always sees the outcomes of all but the
    last `pending` − 1 asks: the result depends on the searcher's seed and on `pending`, never on which trial ends
    first (invariant 4). A searcher that has exhausted its space spends less.

    Args:
        searcher: a new one.
        evaluator: finds out what its suggestions cost.
        budget: how many evaluations it may spend; exact.
        pending: how many suggestions wait for their outcome at a time, at least 1.
        known: assignments whose outcome is known: they cost nothing (invariant 6).
    """
    free = frozenset(known)
    waiting: deque[Suggestion] = deque()
    done: list[Evaluation] = []
    spent = 0
    while True:
        while len(waiting) < pending and spent < budget:
            try:
                suggestion = searcher.ask()
            except ExhaustedError:
                break
            evaluator.start(suggestion.assignment)
            waiting.append(suggestion)
            spent += suggestion.assignment not in free
        if not waiting:
            return done
        suggestion = waiting.popleft()
        while (outcome := evaluator.outcome(suggestion.assignment)) is None:
            yield
        searcher.tell(suggestion.id, Outcome(outcome.cost))
        done.append(Evaluation(suggestion.assignment, outcome, suggestion.assignment in free))


def mode(pending: int) -> str:
    """Return in words what the number of pending suggestions means for a result."""
    return "sequential" if pending == 1 else f"{pending} suggestions pending, outcomes applied in ask order"
