import numpy as np
import pytest

from searchers.base import Outcome, Suggestion
from searchers.lahc import LateAcceptanceHillClimbing
from searchers.random_search import RandomSearch
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SPACE = AssignmentSpace(["first", "second"], ["a", "b", "c"])


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), "0.5", True, [1.0]])
def test_a_cost_that_is_no_finite_number_is_refused(cost):
    with pytest.raises(SafsError, match="finite"):
        Outcome(cost)


@pytest.mark.parametrize("cost", [0, -2.5, np.float32(0.5), np.int64(3)])
def test_a_cost_becomes_a_float(cost):
    outcome = Outcome(cost)
    assert type(outcome.cost) is float
    assert outcome.cost == cost
    assert not outcome.failed


def test_no_cost_means_failed():
    assert Outcome(None).failed


@pytest.mark.parametrize("record", [Suggestion(0, ("a", "b")), Outcome(1.0)])
def test_records_are_frozen(record):
    with pytest.raises(AttributeError):
        record.id = 1


def test_the_state_of_another_algorithm_is_refused():
    random = RandomSearch(SPACE, 0)
    with pytest.raises(SafsError, match=r"options.algorithm is 'lahc' in the state, but 'rs'"):
        random.load_state_dict(LateAcceptanceHillClimbing(SPACE, 0).state_dict())


def test_a_state_with_an_unknown_part_is_refused():
    random = RandomSearch(SPACE, 0)
    with pytest.raises(SafsError, match="no state of its own"):
        random.load_state_dict(random.state_dict() | {"own": {"temperature": 1.0}})


def test_an_option_that_differs_is_named_with_both_values():
    three = LateAcceptanceHillClimbing(SPACE, 0)
    five = LateAcceptanceHillClimbing(SPACE, 0, history=5)
    with pytest.raises(SafsError, match=r"options.history is 5 in the state, but 3 in this searcher"):
        three.load_state_dict(five.state_dict())
