from searchers.genetic import GeneticAlgorithm
from searchers.testing import SearcherConformance


class TestGeneticAlgorithm(SearcherConformance):
    def make(self, space, seed, **options):
        return GeneticAlgorithm(space, seed, **options)
