"""Random search, the baseline that every other searcher has to beat (Bergstra & Bengio 2012)."""

from __future__ import annotations

from searchers.base import Outcome, Searcher, Suggestion
from spaces.assignment import Assignment


class RandomSearch(Searcher):
    """Propose uniform samples without repetition."""

    name = "rs"

    def _ask(self) -> Assignment:
        return self._sample_unseen()

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing: proposals are independent."""
