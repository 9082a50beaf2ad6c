"""The searchers by name: what a configuration's `searcher` may be."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from searchers.base import Searcher
from searchers.bayesian import BayesianOptimisation
from searchers.exhaustive import ExhaustiveSearch
from searchers.genetic import GeneticAlgorithm
from searchers.lahc import LateAcceptanceHillClimbing
from searchers.random_search import RandomSearch
from searchers.simulated_annealing import SimulatedAnnealing
from searchers.surrogate import SurrogateSearch
from searchers.tpe import TreeParzenEstimator
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError, lookup, nearest_name

SEARCHERS: dict[str, type[Searcher]] = {
    "lahc": LateAcceptanceHillClimbing,
    "sa": SimulatedAnnealing,
    "rs": RandomSearch,
    "bo": BayesianOptimisation,
    "tpe": TreeParzenEstimator,
    "ga": GeneticAlgorithm,
    "exhaustive": ExhaustiveSearch,
    "surrogate": SurrogateSearch,
}


def option_names(name: str) -> list[str]:
    """Return the options that searcher `name` takes beside its start points.

    Raises:
        UnknownNameError: if there is no such searcher.
    """
    parameters = inspect.signature(lookup("searcher", name, SEARCHERS)).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "start"]


def make_searcher(
    name: str,
    space: AssignmentSpace,
    seed: int,
    *,
    start: Sequence[Assignment] = (),
    options: Mapping[str, Any] = {},
) -> Searcher:
    """Return a new searcher.

    Args:
        name: a key of `SEARCHERS`.
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order.
        options: the algorithm's own, as `option_names` lists them.

    Raises:
        UnknownNameError: if there is no such searcher.
        SafsError: if it has no such option, or an argument is not valid.
    """
    searcher = lookup("searcher", name, SEARCHERS)
    known = option_names(name)
    unknown = sorted(options.keys() - set(known))
    if unknown:
        nearest = nearest_name(unknown[0], known)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise SafsError(f"Searcher {name!r} has no option {unknown[0]!r}; known: {', '.join(known) or 'none'}.{hint}")
    return searcher(space, seed, start=start, **options)


def all_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of searcher `name` as JSON values, defaults included.

    Raises:
        UnknownNameError: if there is no such searcher.
        SafsError: if it has no such option, or one is not valid.
    """
    known = make_searcher(name, AssignmentSpace(["any site"], ["any operator"]), 0, options=options).options()
    return {option: known[option] for option in option_names(name)}
