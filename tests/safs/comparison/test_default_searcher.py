"""What the default searcher was chosen for, on the shipped tables: only a better one may take its place."""

from functools import cache

import numpy as np
import pytest

from safs.comparison import measures
from safs.comparison.significance import compare_finals
from safs.comparison.table import find_table, shipped_tables
from safs.config.schema import Stage1Config
from safs.search import search, starting_points
from safs.strands import NoTrials, run_strands
from searchers.registry import SEARCHERS, make_searcher

SEEDS = 25
DEFAULT = Stage1Config().searcher
SLOW = ("bo", "tpe")


@cache
def best_known(searcher, table, start, budget):
    """Return the lowest cost with each seed: what was given [seeds], and after each evaluation [seeds, budget]."""
    table = find_table(table)
    known = table.space.uniform() if start == "uniform" else []
    given = min((table.outcome(assignment).cost for assignment in known), default=np.inf)
    curves = []
    for seed in range(SEEDS):
        made = make_searcher(searcher, table.space, seed, start=starting_points(start, table.space, seed))
        (steps,) = run_strands([search(made, table, budget=budget, pending=1, known=known)], NoTrials())
        costs = [step.outcome.cost for step in steps if not step.free]
        curves.append(measures.incumbents(costs, budget, start=[given]))
    return np.full(SEEDS, given), np.array(curves)


def to_the_best_percent(searcher, table, start, budget):
    """Return the median number of evaluations after which a searcher has reached the best 1 % of a table."""
    costs = sorted(find_table(table).costs)
    given, curves = best_known(searcher, table, start, budget)
    return np.median(measures.evaluations_to_reach(curves, np.full(SEEDS, costs[len(costs) // 100 - 1]), given))


@pytest.mark.parametrize(
    ("table", "start"),
    [("lenet5-digits", "uniform"), ("lenet5-digits", "random"), ("lenet5-digits-global", "random")],
)
def test_it_needs_at_most_half_of_random_searchs_evaluations_for_the_best_percent(table, start):
    ours = to_the_best_percent(DEFAULT, table, start, 40)
    assert np.isfinite(ours)
    assert 2 * ours <= to_the_best_percent("rs", table, start, 200)


def test_the_pair_left_out_above_says_nothing():
    """One of its single operators is among the best 1 %, so that every searcher is there before it begins."""
    for searcher in (DEFAULT, "rs"):
        assert to_the_best_percent(searcher, "lenet5-digits-global", "uniform", 1) == 0


@pytest.mark.parametrize("start", ["uniform", "random"])
@pytest.mark.parametrize("table", shipped_tables())
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(name, marks=pytest.mark.thorough if name in SLOW else ())
        for name in sorted(SEARCHERS.keys() - {DEFAULT, "exhaustive"})
    ],
)
def test_no_other_searcher_is_significantly_better_after_20_evaluations(other, table, start):
    """Each pair by itself: without the correction for their number, less is enough to be significantly better."""
    final = {name: best_known(name, table, start, 20)[1][:, -1] for name in (DEFAULT, other)}
    pair, found = (DEFAULT, other), compare_finals(final)
    assert found.better[pair] != other or not found.significant(pair)
