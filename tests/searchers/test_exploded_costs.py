"""One enormous cost among the starting points, which an operator like symexp makes, must not ruin a search."""

import numpy as np
import pytest

from searchers.registry import SEARCHERS, make_searcher
from spaces.assignment import AssignmentSpace
from tests.searchers.landscapes import search, separable

SPACE = AssignmentSpace([f"site{i}" for i in range(8)], [f"operator{i}" for i in range(6)])
LEARNING = sorted(SEARCHERS.keys() - {"exhaustive", "rs"})
SLOW = {"bo": 4, "tpe": 8}
"""How many seeds those get that take their time; others get 20."""
EVALUATIONS = 30


def best_cost(name, seed):
    """Return the lowest cost that a searcher finds where costs add up, after a first starting point that costs 1e30."""
    cost = separable(SPACE, 1000 + seed)
    searcher = make_searcher(name, SPACE, seed, start=SPACE.uniform())
    search(searcher, lambda _: 1e30, 1)
    search(searcher, cost, EVALUATIONS - 1)
    return searcher.incumbent[1]


@pytest.mark.parametrize("name", LEARNING)
def test_it_still_clearly_beats_random_search(name):
    gains = [best_cost("rs", seed) - best_cost(name, seed) for seed in range(SLOW.get(name, 20))]
    assert np.mean(gains) > 0.2, gains
