"""Local search on a Gaussian process: what to try next where there are 20 to 60 evaluations.

The paper has no such searcher. Its parts are those of Bayesian optimisation over categories (COMBO, Oh et al. 2019;
CASMOPOLITAN, Wan et al. 2021): a kernel that counts the sites where two assignments agree, and the search for the
greatest expected improvement among the neighbours of the best assignments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchers.base import Outcome, Searcher, Suggestion, checked_integer
from searchers.gaussian_process import Array, Codes, GaussianProcess, Moves
from searchers.orders import check_orders, random_orders
from spaces.assignment import Assignment, AssignmentSpace

CANDIDATES = 1000
"""Most neighbours among which the expected improvement is compared, unless the best assignment alone has more."""
WORST = 100.0
"""How many median deviations above the median a cost counts for at most: all that cost more are equally bad."""
POINTS = 64
"""Most outcomes, the lowest, that the process is fitted to: a fit costs the cube of their number."""


class SurrogateSearch(Searcher):
    """Propose the assignment of greatest expected improvement among the neighbours of the best, by a Gaussian process.

    Neighbours differ at one site; those of the best assignment come first, then those of the second best, up to some
    1,000, but at least all of the best one's. The process is that of `searchers.gaussian_process`.

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
        asked = self._coded(self._suggestions)
        process = GaussianProcess(asked[order], values[order], len(self._space.operators))
        if self._applied < len(asked):
            process = process.believing(asked[self._applied :])
        parents = asked[order[: max(1, CANDIDATES // (asked.shape[1] * len(self._space.operators)))]]
        moves = self._moves(parents, asked)
        if not len(moves):
            return self._sample_unseen()
        parent, site, operator = moves[int(np.argmax(process.improvement(parents, moves, float(values.min()))))]
        genes = list(self._suggestions[order[parent]])
        genes[site] = self._space.operators[operator]
        return tuple(genes)

    def _coded(self, assignments: Sequence[Assignment]) -> Codes:
        numbers = [[*map(self._numbers.__getitem__, assignment)] for assignment in assignments]
        return np.array(numbers, dtype=np.int16)

    def _moves(self, parents: Codes, asked: Codes) -> Moves:
        """Return what leads from a parent to an assignment that has not been asked for, each of these once."""
        shape = len(parents), parents.shape[1], len(self._space.operators)
        moves = np.indices(shape).reshape(3, -1)
        parent, site, operator = moves
        keys = np.random.default_rng(0).integers(2**63, size=shape[1:])  # Zobrist hashing: a key for every gene
        reached = _hashes(keys, parents)[parent] ^ keys[site, parents[parent, site]] ^ keys[site, operator]
        _, first = np.unique(reached, return_index=True)
        new = np.sort(first[~np.isin(reached[first], _hashes(keys, asked))])
        return np.ascontiguousarray(moves[:, new].T)

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the process is fitted to."""

    def _options(self) -> dict[str, Any]:
        return {"initial": self._initial}

    def _state(self) -> dict[str, Any]:
        return {"orders": [list(order) for order in self._orders]}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._orders = check_orders(self._space, state["orders"])


def _hashes(keys: NDArray[np.int64], points: Codes) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_xor.reduce(keys[np.arange(points.shape[1]), points], axis=1))


def _standardised(costs: Array) -> Array:
    """Return costs of mean 0 and variance 1, those far above the median drawn in: one that diverges may cost 1e30.

    Any finite costs will do: quarters have finite differences, and a ratio of them is at most the largest float.
    """
    quarters = costs / 4
    above = quarters - np.median(quarters)
    greatest = float(np.abs(above).max()) or 1.0
    spread = float(np.median(np.abs(above))) or greatest * float((above / greatest).std()) or 1.0
    with np.errstate(over="ignore"):
        ratios = np.minimum(np.nan_to_num(above / spread), WORST)
    drawn = np.arcsinh(ratios)
    return np.asarray((drawn - drawn.mean()) / (drawn.std() or 1.0))
