"""Local search on a Gaussian process: what to try next where there are 20 to 60 evaluations.

The paper has no such searcher. Its parts are those of Bayesian optimisation over categories (COMBO, Oh et al. 2019;
CASMOPOLITAN, Wan et al. 2021): a kernel that counts the sites where two assignments agree, and a search for the greatest
expected improvement among the neighbours of the best assignments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchers.base import Outcome, Searcher, Suggestion, checked_integer
from spaces.assignment import Assignment, AssignmentSpace

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
"""Assignments as numbers of operators: [assignments, sites]."""

_LENGTHS = (0.1, 0.3, 1.0)
"""Shares of the sites over which a difference lets the correlation of two costs fall to 1/e."""
_SHARES = (0.0, 0.5, 1.0)
"""How much of the variance is due to which operators there are, whatever their sites."""
_NOISE = (1e-2, 1e-1)
"""The variance of a cost's noise, in units of that of the costs."""


class SurrogateSearch(Searcher):
    """Propose the assignment of greatest expected improvement that a local search on a Gaussian process finds.

    The covariance of two assignments is a sum of two parts: how alike the shares of the sites are that each operator
    has, whatever those sites are, and exp(−d/l) of the share d of the sites where they differ. The weight of the parts,
    l and the noise are those of greatest likelihood on a small grid. The local search changes one site at a time, from
    the best assignments known, until the expected improvement grows no more.

    The first `initial` proposals are the starting points and random assignments. Pending suggestions count as of the
    cost that the model expects (Ginsbourger et al. 2010, the kriging believer); failed ones as much as the worst that
    did not fail.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        initial: how many assignments are proposed before the model is asked, at least 2.

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "surrogate"

    def __init__(self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = (), initial: int = 5) -> None:
        super().__init__(space, seed, start=start)
        self._initial = checked_integer("initial", initial, minimum=2)
        self._codes = {name: code for code, name in enumerate(space.operators)}

    def _ask(self) -> Assignment:
        known = [cost for id in range(self._applied) if (cost := self._outcomes[id].cost) is not None]
        if len(self._suggestions) < self._initial or len(known) < 2:
            return self._sample_unseen()
        tried = np.array([[self._codes[name] for name in assignment] for assignment in self._suggestions])
        costs = [self._outcomes[id].cost for id in range(self._applied)]
        values = _standardised(np.array([max(known) if cost is None else cost for cost in costs]))
        model = _Process(tried[: self._applied], values, len(self._space.operators))
        pending = tried[self._applied :]
        if len(pending):
            model = model.believing(pending)
        found = self._climb(model, tried, float(values.min()))
        return self._sample_unseen() if found is None else tuple(self._space.operators[code] for code in found)

    def _climb(self, model: _Process, tried: Codes, best: float) -> Codes | None:
        """Return the unseen assignment of greatest expected improvement among those that the local searches meet."""
        seen = {tuple(row) for row in tried.tolist()}
        found: tuple[float, Codes] | None = None
        starts = tried[np.argsort(model.values, kind="stable")[:_CLIMBS]]
        for point in starts:
            reached = -math.inf
            while True:
                neighbours = _neighbours(point, len(self._space.operators))
                improvement = model.improvement(neighbours, best)
                order = np.argsort(-improvement, kind="stable")
                unseen = next((i for i in order if tuple(neighbours[i].tolist()) not in seen), None)
                if unseen is not None and (found is None or improvement[unseen] > found[0]):
                    found = float(improvement[unseen]), neighbours[unseen]
                if not len(order) or improvement[order[0]] <= reached:
                    break
                reached, point = float(improvement[order[0]]), neighbours[order[0]]
        return None if found is None else found[1]

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the model is fitted to."""

    def _options(self) -> dict[str, Any]:
        return {"initial": self._initial}


_CLIMBS = 3


class _Process:
    """A Gaussian process over assignments, fitted to costs of mean 0 and variance 1.

    Args:
        points: the assignments [n, sites].
        values: their costs [n].
        operators: how many operators there are.
    """

    def __init__(self, points: Codes, values: Array, operators: int, fixed: tuple[float, ...] | None = None) -> None:
        self.values = values
        self._points, self._operators = points, operators
        grid = [fixed] if fixed else [(share, length, noise) for share in _SHARES for length in _LENGTHS for noise in _NOISE]
        counts, distances = _alike(points, points, operators), _differ(points, points)
        fits = [self._fit(counts, distances, parameters) for parameters in grid]
        likelihoods = [fit[0] for fit in fits]
        chosen = int(np.argmax(likelihoods))
        self._parameters = grid[chosen]
        _, self._factor, self._weights = fits[chosen]

    def _fit(self, counts: Array, distances: Array, parameters: tuple[float, ...]) -> tuple[float, Array, Array]:
        covariance = _covariance(counts, distances, parameters) + parameters[2] * np.eye(len(counts))
        factor = np.linalg.cholesky(covariance)
        weights = np.linalg.solve(factor.T, np.linalg.solve(factor, self.values))
        likelihood = -0.5 * float(self.values @ weights) - float(np.log(np.diag(factor)).sum())
        return likelihood, factor, weights

    def predict(self, points: Codes) -> tuple[Array, Array]:
        """Return means and standard deviations of the costs of assignments."""
        cross = _covariance(
            _alike(points, self._points, self._operators), _differ(points, self._points), self._parameters
        )
        spread = np.linalg.solve(self._factor, cross.T)
        return cross @ self._weights, np.sqrt(np.maximum(1.0 - (spread**2).sum(0), 1e-12))

    def believing(self, points: Codes) -> _Process:
        """Return the process as if assignments had come to what it expects of them."""
        mean, _ = self.predict(points)
        every = np.concatenate([self._points, points])
        return _Process(every, np.concatenate([self.values, mean]), self._operators, self._parameters)

    def improvement(self, points: Codes, best: float) -> Array:
        """Return by how much assignments are expected to be below a cost (Jones et al. 1998)."""
        mean, deviation = self.predict(points)
        z = (best - mean) / deviation
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        below = 0.5 * (1 + np.array([math.erf(value / math.sqrt(2)) for value in z]))
        return deviation * (z * below + density)


def _standardised(costs: Array) -> Array:
    """Return costs of mean 0 and variance 1, those far above the median drawn in: a network that fails may cost 1e30."""
    median = float(np.median(costs))
    spread = float(np.median(np.abs(costs - median))) or float(costs.std()) or 1.0
    drawn = np.arcsinh((costs - median) / spread)
    return (drawn - drawn.mean()) / (drawn.std() or 1.0)


def _covariance(counts: Array, distances: Array, parameters: tuple[float, ...]) -> Array:
    share, length, _ = parameters
    return share * counts + (1 - share) * np.exp(-distances / length)


def _alike(a: Codes, b: Codes, operators: int) -> Array:
    """Return how alike the shares are that each operator has in two assignments: 1 where they are the same."""
    shares = [np.stack([(x == code).mean(1) for code in range(operators)], axis=1) for x in (a, b)]
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in shares]
    return (shares[0] / lengths[0]) @ (shares[1] / lengths[1]).T


def _differ(a: Codes, b: Codes) -> Array:
    """Return the share of the sites where two assignments differ."""
    return (a[:, None, :] != b[None, :, :]).mean(2)


def _neighbours(point: Codes, operators: int) -> Codes:
    """Return the assignments that differ from one at a single site."""
    sites = len(point)
    changed = np.repeat(point[None, :], sites * operators, axis=0)
    site, code = np.divmod(np.arange(sites * operators), operators)
    changed[np.arange(len(changed)), site] = code
    return changed[code != point[site]]
