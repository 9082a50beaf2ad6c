"""Simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983, "Optimization by simulated annealing", Science 220)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from searchers.base import checked_integer, checked_number
from searchers.local_search import LocalSearch
from spaces.assignment import Assignment, AssignmentSpace


class SimulatedAnnealing(LocalSearch):
    """Accept a candidate that is no worse than the current assignment, and one that is worse by d with odds exp(−d/T).

    The temperature T is calibrated from the first costs: it begins at `temperature` times what they exceed the lowest
    of them by on average, and is multiplied by `cooling` after each iteration. The first costs are those of all given
    starting points, at least `calibration`; until they are known, no worse candidate is accepted.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        temperature: the first temperature in units of that average, at least 0 (hill climbing).
        cooling: what the temperature is multiplied by after an iteration, in [0, 1].
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
        temperature: float = 0.5,
        cooling: float = 0.8,
        calibration: int = 5,
    ) -> None:
        super().__init__(space, seed, start=start)
        self._factor = checked_number("temperature", temperature, minimum=0.0)
        self._cooling = checked_number("cooling", cooling, minimum=0.0, maximum=1.0)
        self._calibration = checked_integer("calibration", calibration, minimum=2)
        self._iteration = 0

    def _begin(self, cost: float) -> None:
        """Nothing to prepare: the temperature follows from the costs."""

    def _accepts(self, cost: float | None, current: float) -> bool:
        temperature = self._temperature()
        self._iteration += 1
        if cost is None or cost <= current:
            return cost is not None
        return temperature > 0 and self._rng.random() < math.exp((current - cost) / temperature)

    def _temperature(self) -> float:
        wanted = max(self._calibration, len(self._start))
        outcomes = (self._outcomes[id].cost for id in range(self._applied))
        costs = [cost for cost in outcomes if cost is not None][:wanted]
        if len(costs) < self._calibration or self._applied < len(self._start):
            return 0.0
        return self._factor * (fmean(costs) - min(costs)) * self._cooling**self._iteration

    def _options(self) -> dict[str, Any]:
        return {"temperature": self._factor, "cooling": self._cooling, "calibration": self._calibration}

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "iteration": self._iteration}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        super()._load_state(state)
        self._iteration = int(state["iteration"])
