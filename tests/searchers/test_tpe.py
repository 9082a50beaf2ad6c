from searchers.tpe import TreeParzenEstimator
from searchers.testing import SearcherConformance


class TestTreeParzenEstimator(SearcherConformance):
    def make(self, space, seed, **options):
        return TreeParzenEstimator(space, seed, **options)
