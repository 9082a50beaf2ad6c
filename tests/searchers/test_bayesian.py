from searchers.bayesian import BayesianOptimisation
from searchers.testing import SearcherConformance


class TestBayesianOptimisation(SearcherConformance):
    def make(self, space, seed, **options):
        return BayesianOptimisation(space, seed, **options)
