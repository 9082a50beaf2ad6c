from collections import Counter

import pytest

from searchers.base import Outcome
from searchers.random_search import RandomSearch
from searchers.testing import SearcherConformance
from spaces.assignment import AssignmentSpace


class TestRandomSearch(SearcherConformance):
    def make(self, space, seed, **options):
        return RandomSearch(space, seed, **options)


class Stuck(AssignmentSpace):
    """A space whose samples are all the same one."""

    def sample(self, rng):
        rng.integers(2)
        return (self.operators[0],) * len(self.sites)


@pytest.mark.parametrize("draw", [0, 2, 5])
def test_every_assignment_is_equally_likely_at_every_draw(draw):
    space = AssignmentSpace(["first", "second"], ["a", "b", "c"])
    counts = Counter()
    for seed in range(1800):
        searcher = RandomSearch(space, seed)
        counts[[searcher.ask().assignment for _ in range(draw + 1)][draw]] += 1
    assert len(counts) == 9
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 26.1  # 0.1 % of chi-squared, 8 degrees


def test_outcomes_change_nothing():
    space = AssignmentSpace(["first", "second"], ["a", "b", "c"])
    searcher = RandomSearch(space, 4)
    told = []
    for cost in range(9):
        suggestion = searcher.ask()
        told.append(suggestion)
        searcher.tell(suggestion.id, Outcome(cost))
    untold = RandomSearch(space, 4)
    assert told == [untold.ask() for _ in range(9)]


def test_redraws_are_bounded_however_large_the_space():
    space = Stuck([f"site{i}" for i in range(60)], ["a", "b", "c"])
    searcher = RandomSearch(space, 0)
    asked = [searcher.ask().assignment for _ in range(4)]
    assert len(set(asked)) == 4


def test_the_unseen_are_enumerated_uniformly_where_redraws_fail():
    space = Stuck(["only"], ["a", "b", "c", "d"])
    counts = Counter()
    for seed in range(600):
        searcher = RandomSearch(space, seed)
        assert searcher.ask().assignment == ("a",)
        counts[searcher.ask().assignment] += 1
    assert sorted(counts) == [("b",), ("c",), ("d",)]
    assert all(150 < count < 250 for count in counts.values())


def test_a_thousand_assignments_are_exhausted_without_stalling():
    space = AssignmentSpace([f"site{i}" for i in range(10)], ["a", "b"])
    searcher = RandomSearch(space, 0)
    assert len({searcher.ask().assignment for _ in range(space.size)}) == space.size
