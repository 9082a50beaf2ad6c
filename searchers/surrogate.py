"""Local search on a Gaussian process: what to try next where there are 20 to 60 evaluations.

The paper has no such searcher. Its parts are those of Bayesian optimisation over categories (COMBO, Oh et al. 2019;
CASMOPOLITAN, Wan et al. 2021): a kernel that counts the sites where two assignments agree, and the search for the
greatest expected improvement among the neighbours of the best assignments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchers.base import Outcome, Searcher, Suggestion, checked_integer
from searchers.orders import check_orders, random_orders
from spaces.assignment import Assignment, AssignmentSpace

Array: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]
"""Assignments as numbers of operators: [assignments, sites]."""

CANDIDATES = 1000
"""Most neighbours among which the expected improvement is compared."""
POINTS = 64
"""Most outcomes, the lowest, that the process is fitted to: a fit costs the cube of their number."""
_LENGTH = 0.3
"""The share of the sites over which a difference lets the correlation of the third kernel fall to 1/e."""
_WEIGHTS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.5, 0.0, 0.5), (1 / 3, 1 / 3, 1 / 3))
"""Shares of the three kernels in the variance, to choose from."""
_NOISE = (1e-2, 1e-1)
"""The variance of a cost's noise, in units of that of the costs, to choose from."""


class SurrogateSearch(Searcher):
    """Propose the assignment of greatest expected improvement among the neighbours of the best, by a Gaussian process.

    The covariance of two assignments is a mixture of three: the share m of the sites where they agree (an effect of
    every operator at every site), how alike the shares of the sites are that each operator has, whichever these are
    (an effect of every operator wherever it is), and exp((m − 1)/0.3) (what single sites do not explain). The mixture
    and the noise are those of greatest likelihood on a small grid. Neighbours differ at one site; those of the best
    assignment come first, then those of the second best, up to 1,000.

    The first proposals are the starting points and then `initial` assignments in which each site goes through the
    operators in a random order of its own (Latin hypercube sampling, McKay et al. 1979). Pending suggestions count as
    of the cost that the model expects (Ginsbourger et al. 2010, the kriging believer); failed ones as much as the worst
    that did not fail.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        initial: how many of those assignments follow before the model is asked, at least 1.

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "surrogate"

    def __init__(
        self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = (), initial: int = 6
    ) -> None:
        super().__init__(space, seed, start=start)
        self._initial = checked_integer("initial", initial, minimum=1)
        self._orders = random_orders(space, self._rng)
        self._numbers = {name: number for number, name in enumerate(space.operators)}

    def _ask(self) -> Assignment:
        costs = [self._outcomes[id].cost for id in range(self._applied)]
        known = [cost for cost in costs if cost is not None]
        number = len(self._suggestions) - len(self._start)
        if number < self._initial:
            planned = tuple(order[number % len(order)] for order in self._orders)
            return planned if planned not in self._ids else self._sample_unseen()
        if len(known) < 2:
            return self._sample_unseen()
        values = _standardised(np.array([max(known) if cost is None else cost for cost in costs]))
        order = np.argsort(values, kind="stable")[:POINTS]
        points = self._coded([self._suggestions[id] for id in order])
        process = _Process(points, values[order], len(self._space.operators))
        pending = self._suggestions[self._applied :]
        if pending:
            process = process.believing(self._coded(pending))
        moves = self._moves(points)
        if not len(moves):
            return self._sample_unseen()
        parent, site, operator = moves[int(np.argmax(process.improvement(points, moves, float(values.min()))))]
        genes = list(self._suggestions[order[parent]])
        genes[site] = self._space.operators[operator]
        return tuple(genes)

    def _coded(self, assignments: Sequence[Assignment]) -> Codes:
        return np.array([[self._numbers[name] for name in assignment] for assignment in assignments])

    def _moves(self, points: Codes) -> Codes:
        """Return what leads from one of the points to an unseen assignment: [moves, (point, site, new operator)]."""
        sites, operators = points.shape[1], len(self._space.operators)
        parents = points[: max(1, CANDIDATES // (sites * operators))]
        moves = np.stack(np.meshgrid(*map(np.arange, (len(parents), sites, operators)), indexing="ij"), -1).reshape(
            -1, 3
        )
        keys = np.random.default_rng(0).integers(2**63, size=(sites, operators))  # Zobrist hashing: one key per gene
        hashes = np.bitwise_xor.reduce(keys[np.arange(sites), parents], axis=1)
        parent, site, number = moves.T
        reached = hashes[parent] ^ keys[site, parents[parent, site]] ^ keys[site, number]
        seen = np.bitwise_xor.reduce(keys[np.arange(sites), self._coded(self._suggestions)], axis=1)
        _, first = np.unique(reached, return_index=True)
        return moves[np.sort(first[~np.isin(reached[first], seen)])]

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the process is fitted to."""

    def _options(self) -> dict[str, Any]:
        return {"initial": self._initial}

    def _state(self) -> dict[str, Any]:
        return {"orders": [list(order) for order in self._orders]}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._orders = check_orders(self._space, state["orders"])


class _Process:
    """A Gaussian process over assignments, fitted to costs of mean 0 and variance 1.

    Args:
        points: the assignments [n, sites].
        values: their costs [n].
        operators: how many operators there are.
        chosen: the weights of the kernels and the noise, if they are not to be fitted.
    """

    def __init__(
        self, points: Codes, values: Array, operators: int, chosen: tuple[tuple[float, ...], float] | None = None
    ) -> None:
        self._points, self._values, self._operators = points, values, operators
        agree, cosine = _likeness(points, points, operators)
        grid = [chosen] if chosen else [(weights, noise) for weights in _WEIGHTS for noise in _NOISE]
        fits = [self._fit(_correlation(agree, cosine, weights, points.shape[1]), noise) for weights, noise in grid]
        best = int(np.argmax([likelihood for likelihood, _ in fits]))
        self._chosen, self._whiten = grid[best], np.linalg.inv(fits[best][1])

    def _fit(self, correlation: Array, noise: float) -> tuple[float, Array]:
        """Return the log likelihood of the values, up to a constant, and the factor of their covariance."""
        factor = np.linalg.cholesky(correlation + noise * np.eye(len(correlation)))
        whitened = np.linalg.solve(factor, self._values)
        return float(-0.5 * whitened @ whitened - np.log(np.diag(factor)).sum()), np.asarray(factor)

    def _predict(self, agree: Codes, cosine: Array) -> tuple[Array, Array]:
        """Return means and standard deviations of costs from how alike assignments are to the points."""
        cross = self._whiten @ _correlation(agree, cosine, self._chosen[0], self._points.shape[1])
        return (self._whiten @ self._values) @ cross, np.sqrt(np.maximum(1.0 - (cross * cross).sum(0), 1e-12))

    def believing(self, points: Codes) -> _Process:
        """Return the process as if assignments had come to what it expects of them."""
        mean, _ = self._predict(*_likeness(self._points, points, self._operators))
        every = np.concatenate([self._points, points])
        return _Process(every, np.concatenate([self._values, mean]), self._operators, self._chosen)

    def improvement(self, parents: Codes, moves: Codes, best: float) -> Array:
        """Return by how much moves from `parents` are expected to come below a cost (Jones et al. 1998)."""
        mean, deviation = self._predict(*_moved_likeness(self._points, parents, moves, self._operators))
        z = (best - mean) / deviation
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        below = 0.5 * (1 + np.array([math.erf(value) for value in z / math.sqrt(2)]))
        return np.asarray(deviation * (z * below + density))


def _correlation(agree: Codes, cosine: Array, weights: Sequence[float], sites: int) -> Array:
    """Return the mixture of the three kernels."""
    share = np.arange(sites + 1) / sites
    by_sites = weights[0] * share + weights[2] * np.exp((share - 1) / _LENGTH)
    return np.asarray(by_sites[agree] + weights[1] * cosine)


def _likeness(a: Codes, b: Codes, operators: int) -> tuple[Codes, Array]:
    """Return for every two assignments at how many sites they agree, and the cosine of their counts of operators."""
    agree = (a[:, None, :] == b[None, :, :]).sum(2)
    counts_a, counts_b = _counts(a, operators), _counts(b, operators)
    lengths = np.sqrt((counts_a**2).sum(1)[:, None] * (counts_b**2).sum(1))
    return agree, counts_a @ counts_b.T / lengths


def _moved_likeness(points: Codes, parents: Codes, moves: Codes, operators: int) -> tuple[Codes, Array]:
    """Return `_likeness` of points and what moves lead to, from that of their parents: [points, moves]."""
    parent, site, new = moves.T
    parents = parents[: parent.max() + 1]
    old = parents[parent, site]
    here = points[:, site]
    agree = (points[:, None, :] == parents).sum(2)[:, parent] - (here == old) + (here == new)
    counts, of_parents = _counts(points, operators), _counts(parents, operators)
    product = (counts @ of_parents.T)[:, parent] - counts[:, old] + counts[:, new]
    squares = (of_parents**2).sum(1)[parent] - 2 * of_parents[parent, old] + 2 * of_parents[parent, new] + 2
    return agree, product / np.sqrt((counts**2).sum(1)[:, None] * squares)


def _counts(points: Codes, operators: int) -> Array:
    """Return at how many sites each operator stands: [assignments, operators]."""
    return np.asarray((points[:, :, None] == np.arange(operators)).sum(1), dtype=np.float64)


def _standardised(costs: Array) -> Array:
    """Return costs of mean 0 and variance 1, those far above the median drawn in: one that diverges may cost 1e30."""
    median = float(np.median(costs))
    spread = float(np.median(np.abs(costs - median))) or float(costs.std()) or 1.0
    drawn = np.arcsinh((costs - median) / spread)
    return np.asarray((drawn - drawn.mean()) / (drawn.std() or 1.0))
