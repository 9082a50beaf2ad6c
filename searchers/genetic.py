"""A steady-state genetic algorithm with uniform crossover (Syswerda 1989; Whitley 1989, "The GENITOR algorithm")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from searchers.base import LONGEST, REDRAWS, Outcome, Searcher, Suggestion, checked_integer, checked_number
from spaces.assignment import Assignment, AssignmentSpace


class GeneticAlgorithm(Searcher):
    """Cross two good assignments and mutate the child; the best `population` of all that are known are the parents.

    The first `population` proposals are the starting points and random assignments. Each of the two parents is the best
    of `tournament` members drawn at random; a gene comes from either with equal odds, and is then changed to another
    operator with probability `mutation`. A failed assignment is never a parent.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        population: how many assignments may be parents, from 2 to 1,000,000.
        tournament: how many members compete to be a parent, from 1 to 1,000,000.
        mutation: the probability that a gene is changed, in [0, 1]; None means one gene a child on average.

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "ga"

    def __init__(
        self,
        space: AssignmentSpace,
        seed: int,
        *,
        start: Sequence[Assignment] = (),
        population: int = 8,
        tournament: int = 2,
        mutation: float | None = None,
    ) -> None:
        super().__init__(space, seed, start=start)
        self._size = checked_integer("population", population, minimum=2, maximum=LONGEST)
        self._tournament = checked_integer("tournament", tournament, minimum=1, maximum=LONGEST)
        self._mutation = None if mutation is None else checked_number("mutation", mutation, minimum=0.0, maximum=1.0)

    def _ask(self) -> Assignment:
        population = self._population()
        if len(self._suggestions) < self._size or len(population) < 2:
            return self._sample_unseen()
        for _ in range(REDRAWS):
            child = self._child(population)
            if child not in self._ids:
                return child
        return self._sample_unseen()

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the population is read from."""

    def _population(self) -> list[Assignment]:
        """Return the best assignments whose outcome has been applied, the best one first."""
        outcomes = ((self._outcomes[id].cost, id) for id in range(self._applied))
        ranked = sorted((cost, id) for cost, id in outcomes if cost is not None)
        return [self._suggestions[id] for _, id in ranked[: self._size]]

    def _child(self, population: Sequence[Assignment]) -> Assignment:
        first = self._parent(population)
        second = self._parent([member for member in population if member != first])
        sites = len(self._space.sites)
        rate = 1 / sites if self._mutation is None else self._mutation
        from_first, mutated = self._rng.random(sites) < 0.5, self._rng.random(sites) < rate
        genes = [a if chosen else b for a, b, chosen in zip(first, second, from_first, strict=True)]
        for site in (site for site, change in enumerate(mutated) if change and len(self._space.operators) > 1):
            others = [name for name in self._space.operators if name != genes[site]]
            genes[site] = others[int(self._rng.integers(len(others)))]
        return tuple(genes)

    def _parent(self, members: Sequence[Assignment]) -> Assignment:
        """Return the best of some members, which are sorted, drawn at random."""
        size = min(self._tournament, len(members))
        return members[int(self._rng.choice(len(members), size=size, replace=False).min())]

    def _options(self) -> dict[str, Any]:
        return {"population": self._size, "tournament": self._tournament, "mutation": self._mutation}
