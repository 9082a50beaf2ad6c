"""What is measured, against values worked out by hand."""

import math

import numpy as np
import pytest

from safs.comparison import measures
from safs.comparison.bootstrap import Bootstrap

INF = math.inf


def test_incumbents_never_rise_and_failures_change_nothing():
    assert measures.incumbents([None, 3.0, 4.0, None, 1.0], 6).tolist() == [INF, 3, 3, 3, 1, 1]
    assert measures.incumbents([5.0, 2.0], 3, start=[None, 4.0]).tolist() == [4, 2, 2]
    assert measures.incumbents([], 2).tolist() == [INF, INF]


def test_the_mean_leaves_out_seeds_without_a_success():
    curves = np.array([[INF, 4.0, 4.0], [INF, INF, 2.0], [INF, 2.0, 0.0]])
    assert measures.mean_curve(curves).tolist()[1:] == [3.0, 2.0]
    assert math.isnan(measures.mean_curve(curves)[0])


def test_the_band_holds_the_mean_and_is_as_wide_as_its_error():
    curves = np.random.default_rng(0).normal(10.0, 2.0, size=(100, 3))
    low, high = measures.band(curves, Bootstrap(100, 0))
    mean = measures.mean_curve(curves)
    assert (low < mean).all()
    assert (mean < high).all()
    expected = 2 * 1.96 * curves.std(axis=0) / math.sqrt(100)
    assert high - low == pytest.approx(expected, rel=0.15)
    again = measures.band(curves, Bootstrap(100, 0))
    assert (again[0] == low).all()
    assert (again[1] == high).all()


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.85), (10, 0.91), (30, 0.92)])
def test_the_band_holds_the_true_mean_about_as_often_as_it_says(seeds, least):
    rng = np.random.default_rng(1)
    bands = [measures.band(rng.normal(size=(seeds, 1)), Bootstrap(seeds, 0)) for _ in range(400)]
    assert least <= np.mean([low[0] <= 0 <= high[0] for low, high in bands]) <= 0.99


def test_the_band_of_one_seed_is_its_curve_and_none_where_nothing_succeeded():
    low, high = measures.band(np.array([[INF, 3.0, 2.0]]), Bootstrap(1, 0))
    assert math.isnan(low[0])
    assert low[1:].tolist() == high[1:].tolist() == [3.0, 2.0]


def test_ranks_share_ties_and_failures_are_last():
    curves = np.array([[[1.0], [INF]], [[1.0], [5.0]], [[0.5], [INF]]])
    assert measures.ranks(curves)[..., 0].tolist() == [[2.5, 2.5], [2.5, 1], [1, 2.5]]


def test_the_probability_of_beating_counts_every_pair_and_half_of_the_ties():
    ours, theirs = np.array([[1.0], [2.0], [INF]]), np.array([[2.0], [INF]])
    # 1<2, 1<inf, 2=2, 2<inf, inf>2, inf=inf
    assert measures.probability_of_beating(ours, theirs)[0] == pytest.approx((3 + 2 / 2) / 6)
    assert measures.probability_of_beating(ours, ours)[0] == pytest.approx(0.5)


def test_evaluations_to_reach_count_from_one_and_zero_is_what_was_given():
    curves = np.array([[3.0, 2.0, 1.0], [3.0, 3.0, 3.0], [1.0, 1.0, 1.0], [INF, INF, 1.0]])
    start = np.array([INF, INF, 1.0, INF])
    found = measures.evaluations_to_reach(curves, np.array([2.0, 2.0, 2.0, 2.0]), start)
    assert found.tolist() == [2, INF, 0, 3]


def test_the_trend_is_a_logarithm():
    number = np.arange(1, 21)
    curve = 3.0 - 0.5 * np.log(number)
    assert measures.smoothed(curve) == pytest.approx(curve)
    curve[0] = np.nan
    assert math.isnan(measures.smoothed(curve)[0])
    assert measures.smoothed(np.array([2.0])).tolist() == [2.0]


def test_the_interval_of_a_mean_over_pairs_is_that_of_resampled_runs():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=12), rng.normal(0.5, size=12)
    bootstrap = Bootstrap(12, 0)
    resampled = []
    for weights in bootstrap.weights.astype(int):
        a, b = np.repeat(ours, weights), np.repeat(theirs, weights)
        resampled.append(measures.duels(a, b).mean())
    low, high = bootstrap.pairs(measures.duels(ours, theirs))
    assert min(resampled) <= low < np.mean(resampled) < high <= max(resampled)
    assert np.mean([low <= value <= high for value in resampled]) == pytest.approx(0.97, abs=0.02)


@pytest.mark.parametrize("seeds", [9, 10])
def test_the_interval_of_a_median_is_that_of_resampled_seeds(seeds):
    values = np.array([*np.random.default_rng(0).permutation(seeds - 2).astype(float), INF, INF])
    bootstrap = Bootstrap(seeds, 0)
    medians = [np.median(np.repeat(values, weights)) for weights in bootstrap.weights.astype(int)]
    low, high = bootstrap.median(values)
    assert low in medians
    assert high in medians
    assert low < np.median(values) < high
    assert np.mean([low <= median <= high for median in medians]) >= 0.95
    assert bootstrap.median(np.full(seeds, INF)) == (INF, INF)
