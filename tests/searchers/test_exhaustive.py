from searchers.exhaustive import ExhaustiveSearch
from searchers.testing import SearcherConformance


class TestExhaustiveSearch(SearcherConformance):
    def make(self, space, seed, **options):
        return ExhaustiveSearch(space, seed, **options)
