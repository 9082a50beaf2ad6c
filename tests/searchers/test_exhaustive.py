import itertools

import pytest

from searchers.exhaustive import ExhaustiveSearch
from searchers.testing import SearcherConformance
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SPACE = AssignmentSpace(["first", "second", "third"], ["a", "b", "c"])


class TestExhaustiveSearch(SearcherConformance):
    def make(self, space, seed, **options):
        return ExhaustiveSearch(space, seed, **options)


def test_the_last_site_changes_fastest_in_an_order_of_its_own():
    orders = set()
    for seed in range(6):
        searcher = ExhaustiveSearch(SPACE, seed)
        asked = [searcher.ask().assignment for _ in range(SPACE.size)]
        own = [list(dict.fromkeys(assignment[site] for assignment in asked)) for site in range(3)]
        assert asked == list(itertools.product(*own))
        orders |= {tuple(order) for order in own}
    assert len(orders) > 3


@pytest.mark.parametrize("orders", [[["a", "b", "c"]] * 2, [["a", "b"]] * 3, [["a", "b", "b"]] * 3])
def test_orders_that_miss_something_are_refused(orders):
    searcher = ExhaustiveSearch(SPACE, 0)
    state = searcher.state_dict()
    state["own"]["orders"] = orders
    with pytest.raises(SafsError, match="damaged"):
        searcher.load_state_dict(state)
