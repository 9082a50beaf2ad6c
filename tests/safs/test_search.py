"""The search loop: exact budgets, several pending, and results that no timing changes."""

import random

import pytest

from safs.outcome import Reason, Status, TrialOutcome
from safs.search import mode
from safs.search import search as strand_of
from safs.strands import run_strands
from searchers.base import Outcome
from searchers.registry import SEARCHERS, make_searcher
from spaces.assignment import AssignmentSpace

SPACE = AssignmentSpace(["a", "b", "c"], ["relu", "srs", "elu", "tanh"])
FAST = sorted(SEARCHERS.keys() - {"bo", "tpe"})


def cost(assignment):
    return float(sum((3 * SPACE.operators.index(name) + site) % 5 for site, name in enumerate(assignment)))


class Costs:
    """Knows what everything costs, and remembers in which order it was asked."""

    has_room = False

    def __init__(self):
        self.calls = []

    def start(self, assignment):
        self.calls.append(("start", assignment))

    def outcome(self, assignment):
        self.calls.append(("outcome", assignment))
        if assignment == ("relu",) * 3:
            return TrialOutcome(Status.FAILED, reason=Reason.NAN)
        return TrialOutcome(Status.SUCCEEDED, cost=cost(assignment))


def search(searcher, costs, **options):
    (evaluations,) = run_strands([strand_of(searcher, costs, **options)], costs)
    return evaluations


def asked(evaluations):
    return [each.assignment for each in evaluations]


@pytest.mark.parametrize("pending", [1, 2, 5, 50])
def test_the_budget_is_exact(pending):
    evaluations = search(make_searcher("lahc", SPACE, 0), Costs(), budget=17, pending=pending)
    assert len(evaluations) == len(set(asked(evaluations))) == 17


@pytest.mark.parametrize("pending", [1, 3])
def test_what_is_known_costs_nothing_and_is_marked(pending):
    known = SPACE.uniform()
    searcher = make_searcher("lahc", SPACE, 0, start=known)
    evaluations = search(searcher, Costs(), budget=6, pending=pending, known=known)
    assert asked(evaluations)[:4] == known
    assert [each.free for each in evaluations] == [True] * 4 + [False] * 6


def test_an_exhausted_space_ends_the_search_before_the_budget():
    evaluations = search(make_searcher("rs", SPACE, 0), Costs(), budget=1000, pending=3)
    assert sorted(asked(evaluations)) == sorted(SPACE)


def test_every_ask_sees_the_outcomes_of_all_but_the_last_pending_asks():
    costs = Costs()
    search(make_searcher("rs", SPACE, 0), costs, budget=10, pending=3)
    started = waited = 0
    for kind, _ in costs.calls:
        if kind == "start":
            assert waited == max(0, started - 2)
            started += 1
        else:
            waited += 1
    assert (started, waited) == (10, 10)
    orders = {kind: [assignment for each, assignment in costs.calls if each == kind] for kind in ("start", "outcome")}
    assert orders["start"] == orders["outcome"]


@pytest.mark.parametrize("name", FAST)
def test_one_pending_is_ask_and_tell_in_turn(name):
    by_hand, expected = make_searcher(name, SPACE, 5), []
    for _ in range(12):
        suggestion = by_hand.ask()
        expected.append(suggestion.assignment)
        failed = suggestion.assignment == ("relu",) * 3
        by_hand.tell(suggestion.id, Outcome(None if failed else cost(suggestion.assignment)))
    assert asked(search(make_searcher(name, SPACE, 5), Costs(), budget=12, pending=1)) == expected


def test_a_failure_is_an_evaluation_with_its_reason():
    searcher = make_searcher("rs", SPACE, 0, start=[("relu",) * 3])
    first, *others = search(searcher, Costs(), budget=4, pending=1)
    assert (first.outcome.cost, first.outcome.reason) == (None, Reason.NAN)
    assert len(others) == 3


class Late(Costs):
    """Outcomes that become known in another order than that in which they were begun."""

    def __init__(self, seed):
        super().__init__()
        self._rng, self._running, self._ended = random.Random(seed), [], {}

    def start(self, assignment):
        self._running.append(assignment)

    def outcome(self, assignment):
        return self._ended.get(assignment)

    def advance(self):
        ended = self._running.pop(self._rng.randrange(len(self._running)))
        self._ended[ended] = super().outcome(ended)


@pytest.mark.parametrize("name", FAST)
def test_timing_changes_nothing_but_the_number_pending_does(name):
    runs = {tuple(asked(search(make_searcher(name, SPACE, 1), Late(seed), budget=20, pending=4))) for seed in range(5)}
    assert len(runs) == 1
    if name not in ("rs", "exhaustive"):  # they learn nothing
        assert runs != {tuple(asked(search(make_searcher(name, SPACE, 1), Late(0), budget=20, pending=1)))}


def test_the_mode_is_said():
    assert mode(1) == "sequential"
    assert mode(4) == "4 suggestions pending, outcomes applied in ask order"
