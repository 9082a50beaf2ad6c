from searchers.testing import SearcherConformance
from searchers.tpe import TreeParzenEstimator


class TestTreeParzenEstimator(SearcherConformance):
    def make(self, space, seed, **options):
        return TreeParzenEstimator(space, seed, **options)
