"""Bayesian optimisation with SMAC's random forest (Hutter, Hoos & Leyton-Brown 2011; Lindauer et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from searchers.base import Outcome, Searcher, Suggestion, checked_integer, checked_number
from searchers.smac_order import in_fixed_order
from spaces.assignment import Assignment, AssignmentSpace


class BayesianOptimisation(Searcher):
    """Propose what SMAC's acquisition maximiser expects to improve most on the lowest cost, by its random forest.

    Model, expected improvement and maximiser are made anew at each ask and are given the whole record; nothing is kept
    in SMAC, and none of its files is written. The first `initial` proposals are the starting points and random
    assignments; later ones are random with probability `interleave`, as in SMAC. Pending suggestions count as of mean
    cost, failed ones as much as the worst that did not fail.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        initial: how many assignments are proposed before the model is asked, at least 1.
        interleave: the probability of a random assignment, in [0, 1].

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "bo"

    def __init__(
        self,
        space: AssignmentSpace,
        seed: int,
        *,
        start: Sequence[Assignment] = (),
        initial: int = 5,
        interleave: float = 0.2,
    ) -> None:
        super().__init__(space, seed, start=start)
        self._initial = checked_integer("initial", initial, minimum=1)
        self._interleave = checked_number("interleave", interleave, minimum=0.0, maximum=1.0)

    def _ask(self) -> Assignment:
        known = [cost for id in range(self._applied) if (cost := self._outcomes[id].cost) is not None]
        if len(self._suggestions) < self._initial or not known or self._rng.random() < self._interleave:
            return self._sample_unseen()
        return self._most_promising(self._costs(known)) or self._sample_unseen()

    def _costs(self, known: Sequence[float]) -> list[float]:
        """Return a cost for every suggestion: pending and failed ones have one too."""
        mean, worst = float(np.mean(known)), max(known)
        told = [self._outcomes[id].cost for id in range(self._applied)]
        pending = [mean] * (len(self._suggestions) - self._applied)
        return [worst if cost is None else cost for cost in told] + pending

    def _most_promising(self, costs: Sequence[float]) -> Assignment | None:
        """Return the unseen assignment of greatest expected improvement that the maximiser finds, if any."""
        from ConfigSpace import Configuration
        from smac.acquisition.function import EI
        from smac.acquisition.maximizer import LocalAndSortedRandomSearch
        from smac.model.random_forest import RandomForest

        seed = int(self._rng.integers(2**31))
        space = self._space.to_configspace(seed)
        tried = [
            Configuration(space, values=dict(zip(self._space.sites, assignment, strict=True)))
            for assignment in self._suggestions
        ]
        features = np.stack([configuration.get_array() for configuration in tried])
        model = RandomForest(space, seed=seed, n_jobs=1)
        model.train(features, np.asarray(costs)[:, np.newaxis])
        improvement = EI()
        improvement.update(model=model, eta=min(costs), X=features, incumbent_array=features)
        maximizer = in_fixed_order(LocalAndSortedRandomSearch(space, improvement, challengers=1000, seed=seed))
        for configuration in maximizer.maximize(tried, n_points=1000):
            assignment = self._space.from_values(configuration)
            if assignment not in self._ids:
                return assignment
        return None

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the model is given."""

    def _options(self) -> dict[str, Any]:
        return {"initial": self._initial, "interleave": self._interleave}
