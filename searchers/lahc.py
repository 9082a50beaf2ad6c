"""Late acceptance hill climbing (Burke & Bykov 2017, "The late acceptance hill-climbing heuristic", EJOR 258)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from searchers.base import Outcome, Searcher, Suggestion, checked_integer
from spaces.assignment import Assignment, AssignmentSpace

FREE_ITERATIONS = 256
"""Most mutations of known or pending assignments in one ask before a random unseen one is proposed instead."""


class LateAcceptanceHillClimbing(Searcher):
    """Mutate the current assignment; accept what is no worse than it, or than the cost of `history` iterations ago.

    An iteration v compares the candidate with the current cost and with the history entry v mod `history`; then that
    entry takes the current cost if it is lower. The mutation is the one of SAFS, Section 4.2: swap two random genes,
    then change one. A mutation whose outcome is known is an iteration that needs no trial. A failed candidate is
    infinitely bad.

    The search starts from the best of its starting points: those given as `start`, else one random assignment (the
    paper's), and another random one for each ask while no starting point has an outcome or all have failed.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        history: the history's length, at least 1 (SAFS, Appendix E: 3).

    Raises:
        SafsError: if the seed, a start point or the history's length is not valid.
    """

    name = "lahc"

    def __init__(
        self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = (), history: int = 3
    ) -> None:
        super().__init__(space, seed, start=start)
        self._length = checked_integer("history", history, minimum=1)
        self._starts = len(self._start)
        self._current: tuple[Assignment, float] | None = None
        self._history: list[float] = []
        self._iteration = 0

    def _ask(self) -> Assignment:
        if self._current is None:
            self._starts += 1
            return self._sample_unseen()
        for _ in range(FREE_ITERATIONS):
            candidate = self._space.mutate(self._current[0], self._rng)
            if candidate not in self._ids:
                return candidate
            outcome = self._known(candidate)
            if outcome is not None:
                self._current = self._iterate(self._current, candidate, outcome)
        return self._sample_unseen()

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        # Starting points have the first ids, so all of them come before the first candidate.
        if suggestion.id < self._starts:
            self._begin(suggestion.assignment, outcome)
        else:
            assert self._current is not None, "a candidate was proposed without a current assignment"
            self._current = self._iterate(self._current, suggestion.assignment, outcome)

    def _begin(self, assignment: Assignment, outcome: Outcome) -> None:
        """Let a starting point become current, and fill the history, if it is the best so far."""
        if outcome.cost is not None and (self._current is None or outcome.cost < self._current[1]):
            self._current = assignment, outcome.cost
            self._history = [outcome.cost] * self._length

    def _iterate(
        self, current: tuple[Assignment, float], candidate: Assignment, outcome: Outcome
    ) -> tuple[Assignment, float]:
        """Do one iteration of the algorithm and return what is current after it."""
        entry = self._iteration % self._length
        if outcome.cost is not None and outcome.cost <= max(current[1], self._history[entry]):
            current = candidate, outcome.cost
        self._history[entry] = min(self._history[entry], current[1])
        self._iteration += 1
        return current

    def _options(self) -> dict[str, Any]:
        return {"history": self._length}

    def _state(self) -> dict[str, Any]:
        return {
            "starts": self._starts,
            "current": None if self._current is None else [list(self._current[0]), self._current[1]],
            "history": list(self._history),
            "iteration": self._iteration,
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._starts = int(state["starts"])
        self._iteration = int(state["iteration"])
        self._history = [float(cost) for cost in state["history"]]
        self._current = None
        if state["current"] is not None:
            assignment, cost = state["current"]
            self._current = self._space.check(assignment), float(cost)
        if len(self._history) != (0 if self._current is None else self._length):
            raise ValueError(f"the history has {len(self._history)} entries")
