"""Bayesian optimisation with SMAC's random forest (Hutter, Hoos & Leyton-Brown 2011; Lindauer et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchers.base import Outcome, Searcher, Suggestion, checked_integer, checked_number
from spaces.assignment import Assignment, AssignmentSpace

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
"""Assignments as SMAC encodes them, by the numbers of their operators: [assignments, sites]."""

_STARTS = 5
"""How many of the best assignments the maximiser begins with."""
_RANDOM = 500
"""How many random assignments it begins with."""


class BayesianOptimisation(Searcher):
    """Propose the assignment of greatest expected improvement that a climb on SMAC's random forest finds.

    The forest and the expected improvement are those of SMAC (Hutter, Hoos & Leyton-Brown 2011, "Sequential model-based
    optimization for general algorithm configuration"), the forest with the settings that SMAC has for tuning
    hyperparameters (Lindauer et al. 2022). Both are made anew at each ask from the whole record; nothing is kept in
    SMAC, and none of its files is written. The forest learns the normal scores of the costs' ranks (Salinas et al.
    2020), on which a network that diverged has no more weight than the last of any. Failed assignments count as much as
    the worst that did not fail, pending ones as of middling cost.

    The maximiser is the search over one-exchange neighbourhoods of Hutter et al., on arrays and with a single climb: it
    scores the neighbours of the best assignments known and some hundreds of random ones, then the neighbours of the
    best of these, and so on until the expected improvement grows no more. Equals stand in random order.

    The first `initial` proposals are the starting points and random assignments; later ones are random with probability
    `interleave`, as in SMAC.

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
        costs = [self._outcomes[id].cost for id in range(self._applied)]
        worst = max((cost for cost in costs if cost is not None), default=None)
        if len(self._suggestions) < self._initial or worst is None or self._rng.random() < self._interleave:
            return self._sample_unseen()
        scores = _normal_scores([worst if cost is None else cost for cost in costs])
        pending = np.zeros(len(self._suggestions) - self._applied)
        return self._climb(np.concatenate([scores, pending])) or self._sample_unseen()

    def _climb(self, scores: Array) -> Assignment | None:
        """Return the unseen assignment of greatest expected improvement among all that are scored, if any."""
        operators = self._space.operators
        codes = {name: code for code, name in enumerate(operators)}
        tried = np.array([[codes[name] for name in assignment] for assignment in self._suggestions])
        improvement = self._expected_improvement(tried, scores)
        best = tried[np.argsort(scores, kind="stable")[:_STARTS]]
        random = self._rng.integers(len(operators), size=(_RANDOM, len(self._space.sites)))
        points = np.concatenate([random, *(_neighbours(point, len(operators)) for point in best)])
        found, greatest, reached = None, -math.inf, -math.inf
        while True:
            values = improvement(points)
            order = np.lexsort((self._rng.random(len(points)), -values))
            ranked = ((i, tuple(operators[code] for code in points[i])) for i in order)
            i, unseen = next(((i, one) for i, one in ranked if one not in self._ids), (order[0], None))
            if unseen is not None and values[i] > greatest:
                found, greatest = unseen, values[i]
            if values[order[0]] <= reached:
                return found
            reached, points = values[order[0]], _neighbours(points[order[0]], len(operators))

    def _expected_improvement(self, tried: Codes, scores: Array) -> Callable[[Codes], Array]:
        """Return the function that maps assignments to their expected improvement on the lowest score."""
        from smac.acquisition.function import EI
        from smac.model.random_forest import RandomForest

        seed = int(self._rng.integers(2**31))
        model = RandomForest(
            self._space.to_configspace(seed),
            seed=seed,
            n_jobs=1,
            ratio_features=1.0,
            min_samples_split=2,
            min_samples_leaf=1,
            # No tree has more. SMAC's own bound, 2**20, makes each of them clear more than 100 MB.
            max_leaf_nodes=max(2, len(tried)),
        )
        model.train(tried, scores[:, np.newaxis])
        improvement = EI()
        improvement.update(model=model, eta=scores.min())
        return lambda points: np.asarray(improvement._compute(points))[:, 0]

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the model is given."""

    def _options(self) -> dict[str, Any]:
        return {"initial": self._initial, "interleave": self._interleave}


def _normal_scores(costs: Sequence[float]) -> Array:
    """Return the quantile of the normal distribution that each cost's rank stands for; equal costs share a rank."""
    levels, ranks = np.unique(costs, return_inverse=True)
    quantiles = [NormalDist().inv_cdf((rank + 0.5) / len(levels)) for rank in range(len(levels))]
    return np.array(quantiles)[ranks]


def _neighbours(point: Codes, operators: int) -> Codes:
    """Return the assignments that differ from one at a single site."""
    site, code = np.divmod(np.arange(len(point) * operators), operators)
    changed = code != point[site]
    site, code = site[changed], code[changed]
    neighbours: Codes = np.repeat(point[np.newaxis], len(site), axis=0)
    neighbours[np.arange(len(site)), site] = code
    return neighbours
