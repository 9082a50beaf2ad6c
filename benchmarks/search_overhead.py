"""What searchers cost beside the trials: python -m benchmarks.search_overhead

For every searcher the time of `ask` + `tell` in milliseconds, one suggestion pending, after so many outcomes: the
mean of the twenty around it (some are random, and cost nothing), the least of three runs, on one thread. Asked: below
5 ms for all but BO and TPE.
"""

from __future__ import annotations

import time
import zlib

from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from searchers.base import Outcome
from searchers.registry import SEARCHERS, make_searcher
from spaces.assignment import AssignmentSpace

SITES, OPERATORS = 50, 20
AFTER = (20, 60, 100)
RUNS = 3
SLOW = ("bo", "tpe")


def costs_of_calls(name: str, evaluations: int) -> list[float]:
    """Return the milliseconds of each ask with its tell, on a landscape that adds up over the sites."""
    space = AssignmentSpace([f"site{i}" for i in range(SITES)], [f"operator{i}" for i in range(OPERATORS)])
    searcher = make_searcher(name, space, 0)
    spent = []
    for _ in range(evaluations):
        began = time.perf_counter()
        suggestion = searcher.ask()
        asked = time.perf_counter() - began
        genes = enumerate(suggestion.assignment)
        outcome = Outcome(sum(zlib.crc32(f"{site} {name}".encode()) % 1000 / 1000 for site, name in genes))
        began = time.perf_counter()
        searcher.tell(suggestion.id, outcome)
        spent.append(1000 * (asked + time.perf_counter() - began))
    return spent


def main() -> None:
    table = Table(title=f"ask + tell, ms, {SITES} sites × {OPERATORS} operators")
    table.add_column("searcher")
    for after in AFTER:
        table.add_column(f"after {after}", justify="right")
    for name in sorted(SEARCHERS):
        last = AFTER[1] if name in SLOW else AFTER[-1]
        with threadpool_limits(1):
            runs = [costs_of_calls(name, last + 10) for _ in range(RUNS)]
        least = [min(sum(run[after - 10 : after + 10]) / 20 for run in runs) for after in AFTER if after <= last]
        table.add_row(name, *(f"{cost:.2f}" for cost in least))
    Console().print(table)


if __name__ == "__main__":
    main()
