"""Costs that searchers are let loose on, and how."""

import numpy as np

from searchers.base import Outcome


def separable(space, seed):
    """Return a function from assignments to costs that add up over the sites, each within 0 and 1."""
    costs = np.random.default_rng(seed).random((len(space.sites), len(space.operators)))
    return lambda assignment: float(sum(costs[i, space.operators.index(name)] for i, name in enumerate(assignment)))


def search(searcher, cost, budget):
    """Let a searcher spend `budget` trials, one at a time; return the assignments that it asked for."""
    asked = []
    for _ in range(budget):
        suggestion = searcher.ask()
        asked.append(suggestion.assignment)
        searcher.tell(suggestion.id, Outcome(cost(suggestion.assignment)))
    return asked
