"""Late acceptance hill climbing (Burke & Bykov 2017, "The late acceptance hill-climbing heuristic", EJOR 258)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from searchers.base import LONGEST, checked_integer
from searchers.local_search import LocalSearch
from spaces.assignment import Assignment, AssignmentSpace


class LateAcceptanceHillClimbing(LocalSearch):
    """Accept a candidate that is no worse than the current assignment, or than the cost of `history` iterations ago.

    An iteration v compares the candidate with the current cost and with the history entry v mod `history`; then that
    entry takes the current cost if it is lower. A failed candidate is infinitely bad.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        history: the history's length, from 1 to 1,000,000 (SAFS, Appendix E: 3).

    Raises:
        SafsError: if the seed, a start point or the history's length is not valid.
    """

    name = "lahc"

    def __init__(
        self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = (), history: int = 3
    ) -> None:
        super().__init__(space, seed, start=start)
        self._length = checked_integer("history", history, minimum=1, maximum=LONGEST)
        self._history: list[float] = []
        self._iteration = 0

    def _begin(self, cost: float) -> None:
        self._history = [cost] * self._length

    def _accepts(self, cost: float | None, current: float) -> bool:
        entry = self._iteration % self._length
        accepted = cost is not None and cost <= max(current, self._history[entry])
        self._history[entry] = min(self._history[entry], cost if accepted and cost is not None else current)
        self._iteration += 1
        return accepted

    def _options(self) -> dict[str, Any]:
        return {"history": self._length}

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "history": list(self._history), "iteration": self._iteration}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        super()._load_state(state)
        self._iteration = int(state["iteration"])
        self._history = [float(cost) for cost in state["history"]]
        if len(self._history) != (0 if self._current is None else self._length):
            raise ValueError(f"the history has {len(self._history)} entries")
