"""Exhaustive search, for spaces that are small enough to be tried whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from searchers.base import Outcome, Searcher, Suggestion
from searchers.orders import check_orders, random_orders
from spaces.assignment import Assignment, AssignmentSpace


class ExhaustiveSearch(Searcher):
    """Count through the space, the last site changing fastest, each site's operators in a random order of their own.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.

    Raises:
        SafsError: if the seed or a start point is not valid.
    """

    name = "exhaustive"

    def __init__(self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = ()) -> None:
        super().__init__(space, seed, start=start)
        self._orders = random_orders(space, self._rng)
        self._number = 0

    def _ask(self) -> Assignment:
        while True:
            assignment = self._numbered(self._number)
            self._number += 1
            if assignment not in self._ids:
                return assignment

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing: the order is fixed."""

    def _numbered(self, number: int) -> Assignment:
        genes = []
        for order in reversed(self._orders):
            number, digit = divmod(number, len(order))
            genes.append(order[digit])
        return tuple(reversed(genes))

    def _state(self) -> dict[str, Any]:
        return {"orders": [list(order) for order in self._orders], "number": self._number}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._orders = check_orders(self._space, state["orders"])
        self._number = int(state["number"])
