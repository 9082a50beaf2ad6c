import math
import sys

import pytest

from searchers.base import Outcome
from searchers.simulated_annealing import SimulatedAnnealing
from searchers.testing import SearcherConformance
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SPACE = AssignmentSpace([f"site{i}" for i in range(8)], ["a", "b", "c", "d", "e"])


class TestSimulatedAnnealing(SearcherConformance):
    def make(self, space, seed, **options):
        return SimulatedAnnealing(space, seed, **options)


def tell_next(searcher, cost):
    suggestion = searcher.ask()
    searcher.tell(suggestion.id, Outcome(cost))
    return list(suggestion.assignment)


def current(searcher):
    return searcher.state_dict()["own"]["current"]


def warm(seed, **options):
    """Return a searcher that begins at cost 1, the lowest of five costs whose median is 3."""
    searcher = SimulatedAnnealing(SPACE, seed, start=SPACE.uniform(), **options)
    for cost in (6.0, 4.0, 1.0, 2.0, 3.0):
        tell_next(searcher, cost)
    return searcher


def share_accepted(cost, before=(), seeds=400, **options):
    accepted = 0
    for seed in range(seeds):
        searcher = warm(seed, **options)
        for rejected in before:
            tell_next(searcher, rejected)
        accepted += tell_next(searcher, cost) == current(searcher)[0]
    return accepted / seeds


def test_it_begins_at_the_best_starting_point():
    assert current(warm(0)) == [["c"] * 8, 1.0]


def test_what_is_no_worse_is_always_accepted_and_what_failed_never():
    for seed in range(20):
        searcher = warm(seed, temperature=1e-9)
        assert [tell_next(searcher, 1.0), 1.0] == current(searcher)
        assert [tell_next(searcher, 0.5), 0.5] == current(searcher)
        tell_next(searcher, None)
        assert current(searcher)[1] == 0.5


@pytest.mark.parametrize("worse", [0.5, 2.0])
def test_what_is_worse_is_accepted_with_the_odds_of_boltzmann(worse):
    odds = math.exp(-worse / (0.5 * 2.0))  # the median of the five costs is 2 above the lowest
    assert share_accepted(1.0 + worse, temperature=0.5) == pytest.approx(odds, abs=0.08)


def test_the_temperature_falls_with_every_trial():
    odds = math.exp(-1.0 / (0.5 * 2.0 * 0.5**2))
    found = share_accepted(2.0, before=(None, None), temperature=0.5, cooling=0.5)
    assert found == pytest.approx(odds, abs=0.05)


def test_one_cost_that_explodes_does_not_heat_it():
    accepted = 0
    for seed in range(200):
        searcher = SimulatedAnnealing(SPACE, seed, start=SPACE.uniform(), temperature=0.5)
        for cost in (1e30, 4.0, 1.0, 2.0, 3.0):
            tell_next(searcher, cost)
        accepted += tell_next(searcher, 2.0) == current(searcher)[0]
    assert accepted / 200 == pytest.approx(math.exp(-1.0), abs=0.1)


@pytest.mark.parametrize("worst", [1e308, sys.float_info.max])
def test_the_greatest_costs_of_all_are_no_error(worst):
    accepted = 0
    for seed in range(200):
        searcher = SimulatedAnnealing(SPACE, seed, start=SPACE.uniform()[:4], temperature=0.5, calibration=4)
        for cost in (worst, worst, -worst, worst):
            tell_next(searcher, cost)
        accepted += tell_next(searcher, 0.0) == current(searcher)[0]
    assert accepted / 200 == pytest.approx(math.exp(-1.0), abs=0.1)


def test_a_calibration_that_ends_with_a_candidate_begins_at_the_full_temperature():
    odds = math.exp(-1.0 / (0.5 * 2.0 * 0.1))
    accepted, cooled = 0, 0
    for seed in range(400):
        searcher = SimulatedAnnealing(SPACE, seed, temperature=0.5, cooling=0.1)
        for cost in (1.0, 3.0, 4.0, 3.0):
            tell_next(searcher, cost)
        if tell_next(searcher, 2.0) == current(searcher)[0]:
            accepted += 1
        else:
            cooled += tell_next(searcher, 2.0) == current(searcher)[0]
    assert accepted / 400 == pytest.approx(math.exp(-1.0), abs=0.08)
    assert cooled / (400 - accepted) == pytest.approx(odds, abs=0.03)


def test_a_known_outcome_met_again_does_not_cool_it():
    space = AssignmentSpace(["first", "second"], ["a", "b", "c"])
    for seed in range(10):
        searcher = SimulatedAnnealing(space, seed, start=space.uniform(), calibration=3, temperature=0.0)
        for cost in (1.0, 2.0, 3.0):
            tell_next(searcher, cost)
        for trials in range(1, 7):  # the last of the nine are met after many that are known
            tell_next(searcher, 9.0)
            assert searcher.state_dict()["own"]["trials"] == trials


def test_start_points_that_fail_are_not_made_up_for_beyond_the_calibration():
    searcher = SimulatedAnnealing(SPACE, 0, start=SPACE.uniform(), calibration=3)
    for cost in (1.0, None, None, 3.0, 5.0):
        tell_next(searcher, cost)
    before = searcher._half_temperature()
    tell_next(searcher, 100.0)
    assert searcher._half_temperature() == pytest.approx(before * 0.8)


def test_without_a_temperature_it_is_hill_climbing():
    assert share_accepted(1.0 + 1e-12, temperature=0.0, seeds=20) == 0


def test_nothing_worse_is_accepted_before_the_temperature_is_known():
    for seed in range(20):
        searcher = SimulatedAnnealing(SPACE, seed, temperature=1e9, calibration=4)
        for cost in (1.0, 2.0, None, 3.0):
            tell_next(searcher, cost)
            assert current(searcher)[1] == 1.0
        tell_next(searcher, 4.0)
        assert current(searcher)[1] == 4.0  # the fourth cost is known when it is judged


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0}, {"temperature": float("inf")}, {"temperature": "hot"}, {"cooling": 1.5},
        {"cooling": -0.1}, {"calibration": 1}, {"calibration": 2.5},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(SafsError, match=next(iter(options))):
        SimulatedAnnealing(SPACE, 0, **options)
