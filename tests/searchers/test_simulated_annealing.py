from searchers.simulated_annealing import SimulatedAnnealing
from searchers.testing import SearcherConformance


class TestSimulatedAnnealing(SearcherConformance):
    def make(self, space, seed, **options):
        return SimulatedAnnealing(space, seed, **options)
