from searchers.surrogate import SurrogateSearch
from searchers.testing import SearcherConformance


class TestSurrogateSearch(SearcherConformance):
    def make(self, space, seed, **options):
        return SurrogateSearch(space, seed, **options)
