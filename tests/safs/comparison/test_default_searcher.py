"""What the default searcher was chosen for, on the shipped tables: only a better one may take its place."""

import numpy as np
import pytest

from safs.comparison import measures
from safs.comparison.table import find_table
from safs.config.schema import Stage1Config
from safs.search import search
from safs.strands import NoTrials, run_strands
from searchers.registry import make_searcher

SEEDS = 25


@pytest.fixture(scope="module")
def reach():
    """Returns the median number of evaluations to the best 1 %, from the single operators or a random assignment."""

    def median(name, table, start, budget):
        threshold = sorted(table.costs)[len(table.costs) // 100 - 1]
        curves = []
        for seed in range(SEEDS):
            known = table.space.uniform() if start == "uniform" else []
            searcher = make_searcher(name, table.space, seed, start=known)
            strand = search(searcher, table, budget=budget, pending=1, known=known)
            (evaluations,) = run_strands([strand], NoTrials())
            costs = [each.outcome.cost for each in evaluations if not each.free]
            curves.append(measures.incumbents(costs, budget))
        never = np.full(SEEDS, np.inf)
        return np.median(measures.evaluations_to_reach(np.array(curves), np.full(SEEDS, threshold), never))

    return median


@pytest.mark.parametrize(
    ("table", "start"),
    [("lenet5-digits", "uniform"), ("lenet5-digits", "random"), ("lenet5-digits-global", "random")],
)
def test_it_needs_at_most_half_of_random_searchs_evaluations_for_the_best_percent(table, start, reach):
    found = find_table(table)
    assert 2 * reach(Stage1Config().searcher, found, start, 40) <= reach("rs", found, start, 200)
