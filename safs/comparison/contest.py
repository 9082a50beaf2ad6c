"""One searcher, one seed, one budget: what it asked for and what that came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from searchers.base import ExhaustedError, Outcome, Searcher
from spaces.assignment import Assignment

Evaluate = Callable[[Sequence[Assignment]], list[float | None]]
"""Returns the costs of assignments, None where one failed."""


@dataclass(frozen=True)
class Run:
    """What a searcher spent its budget on.

    Attributes:
        assignments: in the order in which they were asked for; those given to start from are not among them.
        costs: theirs, None where one failed.
    """

    assignments: tuple[Assignment, ...]
    costs: tuple[float | None, ...]


def run_searcher(searcher: Searcher, evaluate: Evaluate, evaluations: int, *, pending: int, given: int = 0) -> Run:
    """Let a searcher spend a budget.

    It is asked for `pending` suggestions at a time, and told their outcomes in that order once all are known, so that
    the result depends on its seed and on `pending`, never on which of them ends first. A searcher that has exhausted its
    space spends less.

    Args:
        searcher: a new one.
        evaluate: what an assignment costs.
        evaluations: how many assignments it may have evaluated.
        pending: how many suggestions are pending at a time; with 1, sequential algorithms are what their papers say.
        given: how many of the first suggestions are the starting points, which every searcher is given for nothing.
    """
    assignments: list[Assignment] = []
    costs: list[float | None] = []
    while len(costs) < given + evaluations:
        batch = []
        for _ in range(min(pending, given + evaluations - len(costs))):
            try:
                batch.append(searcher.ask())
            except ExhaustedError:
                break
        if not batch:
            break
        found = evaluate([suggestion.assignment for suggestion in batch])
        for suggestion, cost in zip(batch, found, strict=True):
            searcher.tell(suggestion.id, Outcome(cost))
        assignments += [suggestion.assignment for suggestion in batch]
        costs += found
    return Run(tuple(assignments[given:]), tuple(costs[given:]))
