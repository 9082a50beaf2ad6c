import itertools
import sys
import zlib

import numpy as np
import pytest

from searchers.base import Outcome
from searchers.bayesian import BayesianOptimisation
from searchers.random_search import RandomSearch
from searchers.testing import SearcherConformance, through_json
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError
from tests.searchers.landscapes import search, separable

SPACE = AssignmentSpace([f"site{i}" for i in range(6)], ["a", "b", "c", "d", "e"])


class TestBayesianOptimisation(SearcherConformance):
    def make(self, space, seed, **options):
        return BayesianOptimisation(space, seed, **options)


def diverging(cost):
    """Return a function that is `cost`, but enormous for one assignment in seven."""
    return lambda assignment: 1e30 if zlib.crc32("".join(assignment).encode()) % 7 == 0 else cost(assignment)


@pytest.fixture
def asked_of_the_model(monkeypatch):
    """Let the model be asked in vain; return the list that gets the scores it would be given."""
    scores = []
    monkeypatch.setattr(BayesianOptimisation, "_climb", lambda self, given: scores.append(given))
    return scores


@pytest.mark.parametrize("change", [lambda cost: cost, diverging], ids=["all_finite", "some_diverge"])
def test_it_beats_random_search(change):
    gains = []
    for seed in range(20):
        cost = change(separable(SPACE, seed))
        random, bayesian = RandomSearch(SPACE, seed), BayesianOptimisation(SPACE, seed)
        search(random, cost, 30)
        search(bayesian, cost, 30)
        gains.append(random.incumbent[1] - bayesian.incumbent[1])
    assert np.mean(gains) > 3 * np.std(gains) / len(gains) ** 0.5


def test_failed_assignments_are_avoided():
    cost = separable(SPACE, 0)
    failed = []
    for seed in range(5):
        searcher = BayesianOptimisation(SPACE, seed, initial=10, interleave=0.0)
        asked = search(searcher, lambda assignment: None if assignment[2] in "abc" else cost(assignment), 30)
        failed += [assignment[2] in "abc" for assignment in asked[10:]]
    assert np.mean(failed) < 0.2  # 0.6 by chance


def test_pending_assignments_are_not_clustered():
    distances = []
    for seed in range(8):
        searcher = BayesianOptimisation(SPACE, seed, interleave=0.0)
        search(searcher, separable(SPACE, seed), 15)
        pairs = itertools.combinations([searcher.ask().assignment for _ in range(5)], 2)
        distances += [sum(a != b for a, b in zip(*pair, strict=True)) for pair in pairs]
    assert np.mean(distances) > 1.9  # 1.7 if it asks the same forest again, which knows of none of them


def test_what_the_model_is_told(asked_of_the_model):
    searcher = BayesianOptimisation(SPACE, 0, initial=4, interleave=0.0)
    for cost in (None, 1e30, 2.0, -1.0):
        searcher.tell(searcher.ask().id, Outcome(cost))
    searcher.ask()
    searcher.ask()
    worst = pytest.approx(0.9674, abs=1e-4)  # the quantile at 5/6
    assert asked_of_the_model[-1].tolist() == [worst, worst, 0.0, -asked_of_the_model[-1][0], 0.0]


def test_nothing_is_asked_of_the_model_before_something_succeeded(asked_of_the_model):
    search(BayesianOptimisation(SPACE, 0, interleave=0.0), lambda _: None, 12)
    assert asked_of_the_model == []


def test_the_options_reach_it(asked_of_the_model):
    for options, low, high in (
        ({"initial": 30, "interleave": 0.0}, 70, 70),
        ({"initial": 1, "interleave": 0.0}, 99, 99),
        ({"interleave": 1.0}, 0, 0),
        ({"initial": 1, "interleave": 0.4}, 45, 75),
    ):
        asked_of_the_model.clear()
        search(BayesianOptimisation(SPACE, 0, **options), separable(SPACE, 0), 100)
        assert low <= len(asked_of_the_model) <= high


@pytest.mark.parametrize("options", [{"initial": 0}, {"initial": 2.5}, {"interleave": 1.1}, {"interleave": "never"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(SafsError, match=next(iter(options))):
        BayesianOptimisation(SPACE, 0, **options)


def test_a_restored_search_goes_on_with_its_options():
    searcher = BayesianOptimisation(SPACE, 3, initial=6, interleave=0.1)
    search(searcher, separable(SPACE, 3), 9)
    restored = BayesianOptimisation(SPACE, 4, initial=6, interleave=0.1)
    restored.load_state_dict(through_json(searcher.state_dict()))
    assert search(restored, separable(SPACE, 3), 9) == search(searcher, separable(SPACE, 3), 9)
    with pytest.raises(SafsError, match="interleave"):
        BayesianOptimisation(SPACE, 3, initial=6).load_state_dict(searcher.state_dict())


def test_it_does_not_touch_the_disk(tmp_path):
    searcher = BayesianOptimisation(SPACE, 0, interleave=0.0)
    search(searcher, separable(SPACE, 0), 6)  # everything is imported now
    touched, watching = [], True

    def watch(event, arguments):
        if watching and (event == "open" or event.startswith(("os.", "tempfile.", "shutil."))):
            touched.append(event)

    sys.addaudithook(watch)  # for good: the flag ends it
    search(searcher, separable(SPACE, 0), 3)
    (tmp_path / "file").write_text("")
    watching = False
    assert touched == ["open"]  # that one
