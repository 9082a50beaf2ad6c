"""What the sequential searchers share: a current assignment, one mutation at a time, and a rule of acceptance."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from searchers.base import Outcome, Searcher, Suggestion
from spaces.assignment import Assignment, AssignmentSpace

FREE_ITERATIONS = 256
"""Most mutations of known or pending assignments in one ask before a random unseen one is proposed instead."""


class LocalSearch(Searcher):
    """Mutate the current assignment, and let the candidate take its place if a rule accepts it.

    The mutation is the one of SAFS, Section 4.2: swap two random genes, then change one. A mutation whose outcome is
    known is an iteration that needs no trial. With several suggestions pending, all are mutations of the assignment
    that is current when they are asked for, and each outcome is an iteration, in the order of the asks; with one, it
    is the sequential algorithm.

    The search starts from the best of its starting points: those given as `start`, else one random assignment (the
    paper's). While no outcome has brought a current assignment, an ask proposes a mutation of the first starting point
    whose outcome is not known yet, which is a candidate like any other; or, once all of them have failed, a random
    assignment. The first that succeeds then becomes the current one; with one pending, that is the first random one.
    """

    def __init__(self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = ()) -> None:
        super().__init__(space, seed, start=start)
        self._current: tuple[Assignment, float] | None = None

    @abc.abstractmethod
    def _begin(self, cost: float) -> None:
        """Prepare to search from an assignment of this cost, the first to succeed or the best starting point so far."""

    @abc.abstractmethod
    def _accepts(self, cost: float | None, current: float) -> bool:
        """Do one iteration: return whether a candidate of a cost, None if it failed, takes the current one's place."""

    def _ask(self) -> Assignment:
        for _ in range(FREE_ITERATIONS):
            origin = self._origin()
            if origin is None:
                break
            candidate = self._space.mutate(origin, self._rng)
            if candidate not in self._ids:
                return candidate
            outcome = self._known(candidate)
            if outcome is not None and self._current is not None:
                self._iterate(candidate, outcome)
        return self._sample_unseen()

    def _origin(self) -> Assignment | None:
        """Return what is mutated next: the current assignment, else the first starting point that may become it."""
        if self._current is not None:
            return self._current[0]
        starts = self._suggestions[: max(1, len(self._start))]
        return starts[self._applied] if self._applied < len(starts) else None

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        # Starting points have the first ids, so all of them come before the first candidate.
        if self._current is not None and suggestion.id >= len(self._start):
            self._iterate(suggestion.assignment, outcome)
        elif outcome.cost is not None and (self._current is None or outcome.cost < self._current[1]):
            self._current = suggestion.assignment, outcome.cost
            self._begin(outcome.cost)

    def _iterate(self, candidate: Assignment, outcome: Outcome) -> None:
        assert self._current is not None, "a candidate was proposed without a current assignment"
        if self._accepts(outcome.cost, self._current[1]):
            assert outcome.cost is not None, "a failed candidate was accepted"
            self._current = candidate, outcome.cost

    def _state(self) -> dict[str, Any]:
        current = None if self._current is None else [list(self._current[0]), self._current[1]]
        return {"current": current}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._current = None
        if state["current"] is not None:
            assignment, cost = state["current"]
            self._current = self._space.check(assignment), float(cost)
