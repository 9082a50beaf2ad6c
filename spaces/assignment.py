"""The assignment space: one operator per activation site (the paper's chromosome, Section 4.2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import SafsError, UnknownNameError

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

Assignment = tuple[str, ...]
"""One operator name per site, in forward order."""


@dataclass(frozen=True)
class AssignmentSpace:
    """All ways to give each of `sites` one of `operators`: `len(operators) ** len(sites)` assignments.

    Args:
        sites: names of the activation sites in forward order, at least one, no duplicates.
        operators: names of the operators to choose from, at least one, no duplicates.

    Raises:
        SafsError: if either is empty or holds a name twice.
    """

    sites: tuple[str, ...]
    operators: tuple[str, ...]

    def __init__(self, sites: Sequence[str], operators: Sequence[str]) -> None:
        for kind, names in (("site", sites), ("operator", operators)):
            if not names:
                raise SafsError(f"An assignment space needs at least one {kind}, but got none.")
            if len(set(names)) != len(names):
                twice = next(name for name in names if list(names).count(name) > 1)
                raise SafsError(f"Each {kind} may stand in a space once, but {twice!r} stands there twice.")
        object.__setattr__(self, "sites", tuple(sites))
        object.__setattr__(self, "operators", tuple(operators))

    @property
    def size(self) -> int:
        """The number of assignments."""
        size: int = len(self.operators) ** len(self.sites)
        return size

    def check(self, assignment: Sequence[str]) -> Assignment:
        """Return `assignment` as a tuple.

        Raises:
            SafsError: if it has another number of genes than the space has sites.
            UnknownNameError: if it names an operator that the space does not have.
        """
        if len(assignment) != len(self.sites):
            raise SafsError(
                f"An assignment needs one operator for each of the {len(self.sites)} sites, but got {len(assignment)}."
            )
        for name in assignment:
            if name not in self.operators:
                raise UnknownNameError("operator", name, self.operators)
        return tuple(assignment)

    def sample(self, rng: np.random.Generator) -> Assignment:
        """Return an assignment drawn uniformly."""
        return tuple(self.operators[i] for i in rng.integers(len(self.operators), size=len(self.sites)))

    def mutate(self, assignment: Sequence[str], rng: np.random.Generator) -> Assignment:
        """Swap two random genes, then change one random gene to another operator (Section 4.2).

        With one site there is nothing to swap, with one operator nothing to change.
        """
        genes = list(assignment)
        if len(genes) > 1:
            first, second = rng.choice(len(genes), size=2, replace=False)
            genes[first], genes[second] = genes[second], genes[first]
        if len(self.operators) > 1:
            site = int(rng.integers(len(genes)))
            others = [name for name in self.operators if name != genes[site]]
            genes[site] = others[int(rng.integers(len(others)))]
        return tuple(genes)

    def uniform(self) -> list[Assignment]:
        """Return the assignments with the same operator at every site, in the order of `operators`."""
        return [(name,) * len(self.sites) for name in self.operators]

    def __iter__(self) -> Iterator[Assignment]:
        """Iterate over every assignment, the last site changing fastest."""
        return itertools.product(self.operators, repeat=len(self.sites))

    def to_configspace(self, seed: int) -> ConfigurationSpace:
        """Return the space as one categorical per site, for libraries that take a ConfigSpace."""
        from ConfigSpace import Categorical, ConfigurationSpace

        space = ConfigurationSpace(seed=seed)
        space.add([Categorical(site, list(self.operators)) for site in self.sites])
        return space

    def to_optuna(self) -> dict[str, Any]:
        """Return the space as a dict of Optuna distributions, one categorical per site."""
        from optuna.distributions import CategoricalDistribution

        return {site: CategoricalDistribution(self.operators) for site in self.sites}

    def from_values(self, values: Mapping[str, object]) -> Assignment:
        """Return the assignment that a ConfigSpace configuration or Optuna's parameters stand for."""
        return self.check([str(values[site]) for site in self.sites])
