import pytest

from searchers.base import Outcome
from searchers.genetic import GeneticAlgorithm
from searchers.testing import SearcherConformance
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SPACE = AssignmentSpace([f"site{i}" for i in range(12)], ["a", "b", "c", "d"])


class TestGeneticAlgorithm(SearcherConformance):
    def make(self, space, seed, **options):
        return GeneticAlgorithm(space, seed, **options)


def started(seed, costs, **options):
    """Return a searcher that was told costs for "a" everywhere, "b" everywhere, and so on."""
    searcher = GeneticAlgorithm(SPACE, seed, start=SPACE.uniform(), population=4, **options)
    for cost in costs:
        searcher.tell(searcher.ask().id, Outcome(cost))
    return searcher


def test_a_child_has_genes_of_the_two_parents_about_half_of_each():
    share = 0
    for seed in range(50):
        child = started(seed, [1.0, 2.0, None, None], mutation=0.0).ask().assignment
        assert set(child) == {"a", "b"}
        share += child.count("a") / 12 / 50
    assert share == pytest.approx(0.5, abs=0.1)


def test_the_rate_of_mutation():
    for rate, expected in ((None, 1 / 12), (0.5, 0.5)):
        changed = 0
        for seed in range(100):
            child = started(seed, [1.0, 2.0, None, None], mutation=rate).ask().assignment
            changed += sum(gene in "cd" for gene in child) / 12 / 100
        # A changed gene is one of the three others, and so c or d two times out of three.
        assert changed == pytest.approx(expected * 2 / 3, abs=0.05)


def test_better_members_are_parents_more_often():
    best = worst = 0
    for seed in range(100):
        child = started(seed, [1.0, 4.0, 2.0, 3.0], mutation=0.0, tournament=3).ask().assignment
        best, worst = best + child.count("a"), worst + child.count("b")
    assert best > 400
    assert worst == 0  # the worst of four wins no tournament of three


def test_the_population_is_the_best_of_all_that_are_known():
    searcher = started(0, [4.0, 3.0, 2.0, 1.0], mutation=0.0, tournament=1)
    for _ in range(30):
        searcher.tell(searcher.ask().id, Outcome(0.5))
    population = set(searcher._population())
    assert len(population) == 4
    assert not population & set(SPACE.uniform())


@pytest.mark.parametrize(
    "options",
    [
        {"population": 1}, {"population": 10**11}, {"tournament": 0}, {"tournament": 10**11}, {"mutation": 1.5},
        {"mutation": "often"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(SafsError, match=next(iter(options))):
        GeneticAlgorithm(SPACE, 0, **options)
