import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searchers.base import ExhaustedError, Outcome
from searchers.lahc import LateAcceptanceHillClimbing
from searchers.local_search import FREE_ITERATIONS
from searchers.random_search import RandomSearch
from searchers.testing import SearcherConformance, batches, outcome_of
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

LARGE = AssignmentSpace([f"site{i}" for i in range(17)], [f"operator{i}" for i in range(13)])


class TestLateAcceptanceHillClimbing(SearcherConformance):
    def make(self, space, seed, **options):
        return LateAcceptanceHillClimbing(space, seed, **options)


def own(searcher):
    return searcher.state_dict()["own"]


def told(searcher, *costs):
    """Tell each cost for the next suggestion, one pending at a time, and return the assignments."""
    asked = []
    for cost in costs:
        suggestion = searcher.ask()
        asked.append(suggestion.assignment)
        searcher.tell(suggestion.id, Outcome(cost))
    return asked


def test_acceptance_and_history_by_hand():
    searcher = LateAcceptanceHillClimbing(LARGE, 0, history=2)
    told(searcher, 10.0)
    for iteration, (cost, current, history) in enumerate(
        [
            (8.0, 8.0, [8.0, 10.0]),  # better than the current: accepted, and entry 0 falls
            (9.0, 9.0, [8.0, 9.0]),  # worse, but below entry 1: late acceptance, and entry 1 falls
            (9.5, 9.0, [8.0, 9.0]),  # above both: rejected; entry 0 is below the current cost and stays
            (9.0, 9.0, [8.0, 9.0]),  # equal to the current: accepted
            (9.0, 9.0, [8.0, 9.0]),  # equal to the current, above entry 0: accepted, entry 0 does not rise
            (None, 9.0, [8.0, 9.0]),  # failed: rejected, and an iteration all the same
            (7.0, 7.0, [7.0, 9.0]),
            (9.0, 9.0, [7.0, 9.0]),  # equal to entry 1 only: accepted
            (7.5, 7.5, [7.0, 9.0]),
            (6.0, 6.0, [7.0, 6.0]),
            (6.5, 6.5, [6.5, 6.0]),  # the entry takes the *accepted* cost
            (7.0, 6.5, [6.5, 6.0]),
        ],
        start=1,
    ):
        before = own(searcher)["current"][0]
        (candidate,) = told(searcher, cost)
        accepted = cost is not None and cost == current
        assert own(searcher) == {
            "current": [list(candidate) if accepted else before, current],
            "history": history,
            "iteration": iteration,
        }
    assert searcher.incumbent[1] == 6.0


def test_a_history_of_one_is_hill_climbing():
    searcher = LateAcceptanceHillClimbing(LARGE, 0, history=1)
    current = []
    for cost in (5.0, 6.0, 5.0, 4.0, 4.5):
        told(searcher, cost)
        current.append(own(searcher)["current"][1])
    assert current == [5.0, 5.0, 5.0, 4.0, 4.0]


@pytest.mark.parametrize("history", [0, -1, 2.0, "3", None, True, 100_000_000_000])
def test_a_history_that_is_no_positive_integer_or_too_long_is_refused(history):
    with pytest.raises(SafsError, match=f"'history' must be an integer of at least 1 and at most .*got {history!r}"):
        LateAcceptanceHillClimbing(LARGE, 0, history=history)


def test_the_best_start_point_becomes_current_and_fills_the_history():
    start = LARGE.uniform()[:4]
    searcher = LateAcceptanceHillClimbing(LARGE, 0, start=start)
    assert told(searcher, 5.0, None, 3.0, 4.0) == start
    assert own(searcher) == {"current": [list(start[2]), 3.0], "history": [3.0] * 3, "iteration": 0}
    (candidate,) = told(searcher, 9.0)
    assert differing(candidate, start[2]) <= 3


def test_where_every_start_point_fails_a_random_assignment_starts():
    start = LARGE.uniform()[:2]
    searcher = LateAcceptanceHillClimbing(LARGE, 0, start=start)
    asked = told(searcher, None, None, None, 6.0)
    assert own(searcher) == {"current": [list(asked[3]), 6.0], "history": [6.0] * 3, "iteration": 0}
    assert differing(asked[2], asked[3]) > 3


@pytest.mark.parametrize("start", [[], LARGE.uniform()[:1]])
def test_before_the_first_outcome_the_starting_point_is_mutated(start):
    for seed in range(10):
        searcher = LateAcceptanceHillClimbing(LARGE, seed, start=start)
        first, *others = [searcher.ask().assignment for _ in range(5)]
        assert all(1 <= differing(candidate, first) <= 3 for candidate in others)
        searcher.tell(2, Outcome(1.0))  # held back: the starting point's outcome comes first
        assert own(searcher) == {"current": None, "history": [], "iteration": 0}
        searcher.tell(0, Outcome(5.0))
        searcher.tell(1, Outcome(6.0))
        assert own(searcher) == {"current": [list(others[1]), 1.0], "history": [5.0, 1.0, 5.0], "iteration": 2}


def test_where_the_starting_point_fails_the_first_candidate_that_succeeds_becomes_current():
    searcher = LateAcceptanceHillClimbing(LARGE, 0)
    asked = [searcher.ask().assignment for _ in range(4)]
    for id, cost in ((0, None), (1, None), (2, 7.0)):
        searcher.tell(id, Outcome(cost))
    assert own(searcher) == {"current": [list(asked[2]), 7.0], "history": [7.0] * 3, "iteration": 0}
    searcher.tell(3, Outcome(9.0))  # an iteration, and rejected
    assert own(searcher) == {"current": [list(asked[2]), 7.0], "history": [7.0] * 3, "iteration": 1}


def test_where_every_starting_point_failed_the_next_is_random_though_candidates_are_pending():
    searcher = LateAcceptanceHillClimbing(LARGE, 0, start=LARGE.uniform()[:2])
    asked = [searcher.ask().assignment for _ in range(3)]
    assert differing(asked[2], asked[0]) <= 3
    searcher.tell(0, Outcome(None))
    second = searcher.ask().assignment
    assert differing(second, asked[1]) <= 3
    searcher.tell(1, Outcome(None))
    assert min(differing(searcher.ask().assignment, known) for known in (*asked, second)) > 3


def test_candidates_are_swap_and_change_mutations_of_the_current():
    searcher = LateAcceptanceHillClimbing(LARGE, 3)
    told(searcher, 5.0)
    for cost in (4.0, 9.0, 9.0, 3.0, 9.0):
        current = own(searcher)["current"][0]
        (candidate,) = told(searcher, cost)
        assert 1 <= differing(candidate, current) <= 3


def test_where_every_mutation_is_known_an_unseen_assignment_comes_next():
    space = AssignmentSpace(["first", "second", "third"], ["a", "b"])
    searcher = LateAcceptanceHillClimbing(space, 0, start=[("a", "a", "a")])
    asked = told(searcher, 0.0, *[9.0] * 7)
    assert sorted(asked) == sorted(space)
    assert own(searcher)["current"] == [["a", "a", "a"], 0.0]
    assert own(searcher)["iteration"] > FREE_ITERATIONS


def differing(one, other):
    return sum(a != b for a, b in zip(one, other, strict=True))


def paper(space, seed, length, outcome, trials):
    """Return the assignments that the paper's algorithm meets, in the order in which it first meets them.

    Ends early where it no longer meets a new one.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    known = {}

    def cost_of(assignment):
        if assignment not in known:
            known[assignment] = outcome(assignment)
        return known[assignment].cost

    current = space.sample(rng)
    cost = cost_of(current)
    history = [cost] * length
    v = news = 0
    while len(known) < trials and v < news + FREE_ITERATIONS:
        candidate = space.mutate(current, rng)
        news = news if candidate in known else v + 1
        candidate_cost = cost_of(candidate)
        if candidate_cost <= cost or candidate_cost <= history[v % length]:
            current, cost = candidate, candidate_cost
        if cost < history[v % length]:
            history[v % length] = cost
        v += 1
    return list(known)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 6), sites=st.integers(3, 6), operators=st.integers(3, 5))
def test_with_one_pending_the_trajectory_is_the_papers(seed, length, sites, operators):
    space = AssignmentSpace([f"site{i}" for i in range(sites)], [f"operator{i}" for i in range(operators)])

    def outcome(assignment):
        return Outcome(float(sum(3 * space.operators.index(name) % 5 for name in assignment)))

    searcher = LateAcceptanceHillClimbing(space, seed, history=length)
    asked = []
    for _ in range(12):
        suggestion = searcher.ask()
        asked.append(suggestion.assignment)
        searcher.tell(suggestion.id, outcome(suggestion.assignment))
    expected = paper(space, seed, length, outcome, trials=12)
    assert asked[: len(expected)] == expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(1, 5),
    sites=st.integers(1, 5),
    operators=st.integers(1, 4),
    order=st.integers(1, 4).flatmap(lambda n: st.permutations(range(n))),
)
def test_whatever_the_space_and_the_order(seed, length, sites, operators, order):
    space = AssignmentSpace([f"site{i}" for i in range(sites)], [f"operator{i}" for i in range(operators)])
    searcher = LateAcceptanceHillClimbing(space, seed, history=length)
    asked = []
    try:
        for kind, id in batches(15, order):
            if kind == "ask":
                asked.append(searcher.ask().assignment)
            else:
                searcher.tell(id, outcome_of(space, asked[id]))
    except ExhaustedError:
        assert len(asked) == space.size
    assert len(set(asked)) == len(asked)
    state = own(searcher)
    if state["current"] is not None:
        current, cost = state["current"]
        assert outcome_of(space, tuple(current)).cost == cost
        assert len(state["history"]) == length
        assert searcher.incumbent[1] <= min(*state["history"], cost)


def test_it_clearly_beats_random_search_on_a_separable_landscape():
    wins, gains = 0, []
    for seed in range(30):
        table = np.random.default_rng(1000 + seed).uniform(size=(len(LARGE.sites), len(LARGE.operators)))
        best = [
            best_cost(searcher, table, evaluations=100)
            for searcher in (LateAcceptanceHillClimbing(LARGE, seed), RandomSearch(LARGE, seed))
        ]
        wins += best[0] < best[1]
        gains.append(best[1] - best[0])
    assert wins >= 28
    assert np.mean(gains) > 1.5


def best_cost(searcher, table, evaluations):
    for _ in range(evaluations):
        suggestion = searcher.ask()
        cost = sum(row[LARGE.operators.index(name)] for row, name in zip(table, suggestion.assignment, strict=True))
        searcher.tell(suggestion.id, Outcome(cost))
    return searcher.incumbent[1]
