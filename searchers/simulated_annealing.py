"""Simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983, "Optimization by simulated annealing", Science 220)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from searchers.base import Outcome, Suggestion, checked_integer, checked_number
from searchers.local_search import LocalSearch
from spaces.assignment import Assignment, AssignmentSpace


class SimulatedAnnealing(LocalSearch):
    """Accept a candidate that is no worse than the current assignment, and one that is worse by d with odds exp(−d/T).

    The temperature T is calibrated from the first costs: it begins at `temperature` times what their median exceeds the
    lowest of them by, so that no less than half of them must explode to heat it, and is multiplied by `cooling` after
    each trial from then on; a candidate whose outcome is known already is no trial. The first costs are those of all
    given starting points, at least `calibration`; until they are known, no worse candidate is accepted.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        temperature: the first temperature in units of that difference, at least 0 (hill climbing).
        cooling: what the temperature is multiplied by after a trial, in [0, 1].
        calibration: how many costs the temperature is calibrated from, at least 2.

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "sa"

    def __init__(
        self,
        space: AssignmentSpace,
        seed: int,
        *,
        start: Sequence[Assignment] = (),
        temperature: float = 0.25,
        cooling: float = 0.8,
        calibration: int = 5,
    ) -> None:
        super().__init__(space, seed, start=start)
        self._factor = checked_number("temperature", temperature, minimum=0.0)
        self._cooling = checked_number("cooling", cooling, minimum=0.0, maximum=1.0)
        self._calibration = checked_integer("calibration", calibration, minimum=2)
        self._trials = 0

    def _begin(self, cost: float) -> None:
        """Nothing to prepare: the temperature follows from the costs."""

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        super()._tell(suggestion, outcome)
        if suggestion.id >= len(self._start) and self._first_costs():
            self._trials += 1

    def _accepts(self, cost: float | None, current: float) -> bool:
        if cost is None or cost <= current:
            return cost is not None
        temperature = self._half_temperature()
        return temperature > 0 and self._rng.random() < math.exp((current / 2 - cost / 2) / temperature)

    def _half_temperature(self) -> float:
        """Return half the temperature: halves of finite costs have finite differences."""
        halves = [cost / 2 for cost in self._first_costs()]
        return self._factor * (median(halves) - min(halves)) * self._cooling**self._trials if halves else 0.0

    def _first_costs(self) -> list[float]:
        """Return the costs that the temperature is calibrated from; none until all of them are known."""
        known = [self._outcomes[id].cost for id in range(self._applied)]
        started = sum(cost is not None for cost in known[: len(self._start)])
        costs = [cost for cost in known if cost is not None][: max(self._calibration, started)]
        return costs if len(costs) >= self._calibration and self._applied >= len(self._start) else []

    def _options(self) -> dict[str, Any]:
        return {"temperature": self._factor, "cooling": self._cooling, "calibration": self._calibration}

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "trials": self._trials}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        super()._load_state(state)
        self._trials = int(state["trials"])
