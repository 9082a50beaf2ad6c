import itertools
import logging

import numpy as np
import optuna
import pytest

from searchers.random_search import RandomSearch
from searchers.testing import SearcherConformance
from searchers.tpe import TreeParzenEstimator
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError
from tests.searchers.landscapes import search, separable

SPACE = AssignmentSpace([f"site{i}" for i in range(6)], ["a", "b", "c", "d", "e"])


class TestTreeParzenEstimator(SearcherConformance):
    def make(self, space, seed, **options):
        return TreeParzenEstimator(space, seed, **options)


@pytest.fixture
def studies(monkeypatch):
    """Return the list that gets the studies in which Optuna is asked."""
    made = []
    create = optuna.create_study

    def recorded(**options):
        made.append(create(**options))
        return made[-1]

    monkeypatch.setattr(optuna, "create_study", recorded)
    return made


def test_it_clearly_beats_random_search_where_costs_add_up():
    gains = []
    for seed in range(12):
        random, tpe = RandomSearch(SPACE, seed), TreeParzenEstimator(SPACE, seed)
        search(random, separable(SPACE, seed), 40)
        search(tpe, separable(SPACE, seed), 40)
        gains.append(random.incumbent[1] - tpe.incumbent[1])
    assert (np.array(gains) > 0).sum() >= 9
    assert np.mean(gains) > 0.2


def test_failed_assignments_are_avoided():
    failed = []
    for seed in range(4):
        searcher = TreeParzenEstimator(SPACE, seed, startup=10)
        cost = separable(SPACE, seed)
        asked = search(searcher, lambda assignment, cost=cost: None if assignment[2] in "abc" else cost(assignment), 30)
        failed += [assignment[2] in "abc" for assignment in asked[10:]]
    assert np.mean(failed) < 0.3  # 0.6 by chance


def test_what_optuna_is_told(studies):
    searcher = TreeParzenEstimator(SPACE, 0, startup=3)
    costs = iter([2.0, None, 5.0])
    asked = search(searcher, lambda _: next(costs), 3)
    asked += [searcher.ask().assignment for _ in range(2)]
    trials = studies[-1].trials
    assert [tuple(trial.params[site] for site in SPACE.sites) for trial in trials[:4]] == asked[:4]
    assert [trial.state.name for trial in trials[:4]] == ["COMPLETE"] * 3 + ["RUNNING"]
    assert [trial.value for trial in trials[:4]] == [2.0, 5.0, 5.0, None]  # a failure is as bad as the worst


def test_pending_assignments_are_spread():
    distances = []
    for seed in range(8):
        searcher = TreeParzenEstimator(SPACE, seed)
        search(searcher, separable(SPACE, seed), 25)
        pairs = itertools.combinations([searcher.ask().assignment for _ in range(12)], 2)
        distances += [sum(a != b for a, b in zip(*pair, strict=True)) for pair in pairs]
    assert np.mean(distances) > 3.5  # 3.2 if pending ones do not count as bad


def test_it_is_asked_from_the_startup_on_and_once_something_succeeded(studies):
    searcher = TreeParzenEstimator(SPACE, 0, startup=4)
    search(searcher, lambda _: None, 6)
    assert not studies
    search(searcher, separable(SPACE, 0), 1)
    assert not studies
    searcher.ask()
    assert studies
    studies.clear()
    search(TreeParzenEstimator(SPACE, 0, startup=4), separable(SPACE, 0), 4)
    assert not studies


@pytest.mark.parametrize("startup", [0, -1, 2.5, "5", None, True])
def test_a_startup_that_is_no_positive_integer_is_refused(startup):
    with pytest.raises(SafsError, match="startup"):
        TreeParzenEstimator(SPACE, 0, startup=startup)


@pytest.mark.parametrize("verbosity", [logging.DEBUG, logging.ERROR])
@pytest.mark.parametrize("fails", [False, True])
def test_optuna_is_as_talkative_afterwards_as_it_was(verbosity, fails, monkeypatch):
    during = []

    def ask(self, distributions):
        during.append(optuna.logging.get_verbosity())
        raise RuntimeError("no answer")

    before = optuna.logging.get_verbosity()
    searcher = TreeParzenEstimator(SPACE, 0)
    search(searcher, separable(SPACE, 0), 5)
    optuna.logging.set_verbosity(verbosity)
    try:
        if fails:
            monkeypatch.setattr(optuna.Study, "ask", ask)
            with pytest.raises(RuntimeError, match="no answer"):
                searcher.ask()
            assert during == [logging.WARNING]
        else:
            searcher.ask()
        assert optuna.logging.get_verbosity() == verbosity
    finally:
        optuna.logging.set_verbosity(before)
