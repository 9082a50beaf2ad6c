"""Which searchers differ: against SciPy, Demšar's published critical values, and a case worked out by hand."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from safs.comparison.significance import compare_finals, holm


def samples(seeds=30, **means):
    rng = np.random.default_rng(0)
    block = rng.normal(size=seeds)  # what all searchers share of a seed
    return {name: list(block + rng.normal(mean, 0.3, size=seeds)) for name, mean in means.items()}


def test_a_clear_difference_is_found_and_none_where_there_is_none():
    found = compare_finals(samples(a=0.0, b=0.0, c=1.0))
    assert found.friedman < 1e-6
    assert found.pairs["a", "c"] < 0.001
    assert found.pairs["b", "c"] < 0.001
    assert found.pairs["a", "b"] > 0.05
    assert found.ranks["c"] == max(found.ranks.values())
    assert sum(found.ranks.values()) == pytest.approx(6)


def test_the_tests_are_those_of_scipy():
    finals = samples(a=0.0, b=0.1, c=0.2)
    found = compare_finals(finals)
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*finals.values()).pvalue)
    raw = {
        pair: stats.wilcoxon(finals[pair[0]], finals[pair[1]], zero_method="zsplit").pvalue
        for pair in [("a", "b"), ("a", "c"), ("b", "c")]
    }
    smallest, middle, largest = sorted(raw, key=raw.get)
    assert found.pairs[smallest] == pytest.approx(3 * raw[smallest])
    assert found.pairs[middle] == pytest.approx(max(3 * raw[smallest], 2 * raw[middle]))
    assert found.pairs[largest] == pytest.approx(max(2 * raw[middle], raw[largest]))


def test_holm_never_exceeds_one_and_keeps_the_order():
    corrected = holm({("a", "b"): 0.01, ("a", "c"): 0.04, ("b", "c"): 0.9})
    assert corrected == pytest.approx({("a", "b"): 0.03, ("a", "c"): 0.08, ("b", "c"): 0.9})
    assert set(holm({("a", "b"): 0.6, ("a", "c"): 0.7}).values()) == {1.0}


@pytest.mark.parametrize(("searchers", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])  # Demšar 2006, Table 5 (a)
def test_critical_differences_are_those_of_the_literature(searchers, q):
    finals = samples(seeds=20, **{f"s{i}": float(i) for i in range(searchers)})
    expected = q * math.sqrt(searchers * (searchers + 1) / (6 * 20))
    assert compare_finals(finals).critical_difference == pytest.approx(expected, rel=1e-3)


def test_failed_runs_are_worst_and_equal_to_each_other():
    found = compare_finals({"a": [1.0, 2.0, 1.5, 1.2, 1.1, 1.3], "b": [math.inf] * 6, "c": [math.inf] * 6})
    assert found.ranks == {"a": 1.0, "b": 2.5, "c": 2.5}
    assert found.pairs["b", "c"] == 1.0
    assert found.pairs["a", "b"] < 0.1


def test_no_pair_is_significant_where_friedmans_test_finds_no_difference():
    """Seed by seed b is nearly as often better as worse, but then by less; c is far off, either way."""
    finals = {
        "a": [0.0] * 40,
        "b": [1.0 + seed / 100 for seed in range(22)] + [-0.01 - seed / 1000 for seed in range(18)],
        "c": [5.0, -5.0] * 20,
    }
    found = compare_finals(finals)
    assert found.pairs["a", "b"] < 0.05 < found.friedman
    assert not any(pair["significant"] for pair in found.to_json()["pairs"])
    two = compare_finals({name: finals[name] for name in "ab"})
    assert two.friedman is None
    assert two.significant(("a", "b"))
    (pair,) = two.to_json()["pairs"]
    assert pair["significant"]


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_differ_as_others_do():
    largest = np.finfo(np.float64).max
    found = compare_finals({"a": [largest] * 8, "b": [-largest] * 8})
    assert found.better["a", "b"] == "b"
    assert found.significant(("a", "b"))


@pytest.mark.parametrize(
    "finals",
    [{"a": [1.0]}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1.0] * 3, "b": [1.0] * 3, "c": [1.0] * 3}],
)
def test_small_and_equal_cases_are_json(finals):
    found = json.loads(json.dumps(compare_finals(finals).to_json(), allow_nan=False))
    assert len(found["pairs"]) == len(finals) * (len(finals) - 1) // 2
    assert all(pair["p"] == 1.0 for pair in found["pairs"])
    assert found["friedman"] is None
    assert "Holm" in found["tests"]
