import numpy as np
import pytest

from searchers.base import Outcome
from searchers.random_search import RandomSearch
from searchers.surrogate import CANDIDATES, SurrogateSearch, _standardised
from searchers.testing import SearcherConformance
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError
from tests.searchers.landscapes import search, separable

SPACE = AssignmentSpace([f"site{i}" for i in range(6)], [f"operator{i}" for i in range(8)])


class TestSurrogateSearch(SearcherConformance):
    def make(self, space, seed, **options):
        return SurrogateSearch(space, seed, **options)


@pytest.mark.parametrize("initial", [1, 3, 8])
def test_the_first_assignments_bring_every_site_another_operator_each_time(initial):
    start = SPACE.uniform()[:2]
    searcher = SurrogateSearch(SPACE, 0, start=start, initial=initial)
    asked = [searcher.ask().assignment for _ in range(2 + initial)]
    assert asked[:2] == start
    for at_site in zip(*asked[2:], strict=True):
        assert len(set(at_site)) == initial


def test_after_them_the_neighbours_of_the_best_are_asked_for():
    searcher = SurrogateSearch(SPACE, 0)
    asked = {}
    for _ in range(40):
        suggestion = searcher.ask()
        if len(asked) >= 6:
            nearest = min(sum(a != b for a, b in zip(suggestion.assignment, known, strict=True)) for known in asked)
            assert nearest == 1
        asked[suggestion.assignment] = cost = separable(SPACE, 0)(suggestion.assignment)
        searcher.tell(suggestion.id, Outcome(cost))


def best(searcher, cost, evaluations=40):
    search(searcher, cost, evaluations)
    return searcher.incumbent[1]


def test_it_clearly_beats_random_search_where_costs_add_up():
    runs = [
        [best(kind(SPACE, seed), separable(SPACE, seed)) for seed in range(15)]
        for kind in (SurrogateSearch, RandomSearch)
    ]
    gains = np.array(runs[1]) - np.array(runs[0])
    assert (gains > 0).sum() >= 13
    assert gains.mean() > 0.5


def test_it_finds_an_operator_that_is_good_wherever_it_stands():
    def cost(assignment):
        return -float(assignment.count("operator5"))

    assert sum(best(SurrogateSearch(SPACE, seed), cost, 30) == -6 for seed in range(5)) >= 4


def test_a_cost_that_dwarfs_all_others_does_not_blind_it():
    def cost(assignment):
        return 1e30 if assignment[0] == "operator0" else separable(SPACE, 3)(assignment)

    ours, random = ([best(kind(SPACE, seed), cost) for seed in range(5)] for kind in (SurrogateSearch, RandomSearch))
    assert np.mean(ours) < np.mean(random) - 0.5


def test_failures_are_avoided():
    asked = 0
    for seed in range(5):
        searcher = SurrogateSearch(SPACE, seed)
        for number in range(40):
            suggestion = searcher.ask()
            fails = suggestion.assignment[2] in ("operator1", "operator2", "operator3", "operator4")
            asked += fails and number >= 10
            searcher.tell(suggestion.id, Outcome(None if fails else separable(SPACE, seed)(suggestion.assignment)))
    assert asked < 5 * 30 * 0.25  # random search: a half


def test_pending_suggestions_are_spread():
    """Told nothing new, it asks for something else than the neighbours of what is pending."""
    searcher = SurrogateSearch(SPACE, 1)
    best(searcher, separable(SPACE, 1), 20)
    batch = [searcher.ask().assignment for _ in range(8)]
    assert len(set(batch)) == 8
    assert len({(i, name) for assignment in batch for i, name in enumerate(assignment)}) > 6 + 4


def test_standardised_costs_keep_their_order():
    costs = np.array([3.0, 1.0, 2.0, 50.0, 2.5])
    values = _standardised(costs)
    assert (np.argsort(values) == np.argsort(costs)).all()
    assert values.mean() == pytest.approx(0)
    assert values.std() == pytest.approx(1)
    assert _standardised(np.ones(4)).tolist() == [0] * 4


def test_a_cost_that_explodes_takes_no_room_from_the_others():
    values = _standardised(np.array([3.0, 1.0, 2.0, 2.5, 1e9, 1e30]))
    assert values[4] == values[5]
    assert values[0] - values[1] > 0.3  # of a variance of 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "costs",
    [
        [1e308, -1e308, 1.0],
        [1.7e308, -1.7e308],
        [0.0, 0.0, 0.0, 0.0, 1e300],  # no median deviation
        [1e308, 0.0, 1e-9, 2e-9, 3e-9],  # a ratio beyond the greatest float
    ],
)
def test_the_greatest_costs_of_all_are_standardised_too(costs):
    values = _standardised(np.array(costs))
    assert np.isfinite(values).all()
    assert (np.argsort(values, kind="stable") == np.argsort(costs, kind="stable")).all()
    assert values.std() == pytest.approx(1)


def test_all_neighbours_of_the_best_are_compared_however_many():
    space = AssignmentSpace([f"site{i}" for i in range(60)], [f"operator{i}" for i in range(20)])
    searcher = SurrogateSearch(space, 0, initial=2)
    start = searcher._coded([space.uniform()[0], space.uniform()[1]])
    assert CANDIDATES < 60 * 20
    assert len(searcher._moves(start[:1], start)) == 60 * 19


@pytest.mark.parametrize("initial", [0, -1, 1.5, None, True])
def test_a_bad_option_is_refused(initial):
    with pytest.raises(SafsError, match="initial"):
        SurrogateSearch(SPACE, 0, initial=initial)
