"""Our `bo` and `surrogate` beside SMAC's own Bayesian optimisation: python -m benchmarks.smac_facade

`bo` has SMAC's forest and expected improvement, but a search for its maximum of our own, and learns ranks of costs. So
SMAC's `HyperparameterOptimizationFacade` is run here by ask and tell: with its own settings, which train the forest
after every eighth proposal and go on at random where 16 of the best are known already, and with a forest for each
proposal that is never given up, as `bo` has it. All search the shipped table `lenet5-digits`, from the same random
assignment per seed as first evaluation; SMAC's initial design has four more, so that it is as long as that of `bo`.

Printed are the mean final costs, and the probability that a run of ours ends better than one of SMAC's (Vargha &
Delaney's A). What SMAC writes goes to a temporary folder. It takes some twelve minutes of CPU time, nearly all of them
SMAC's.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table as Printed
from threadpoolctl import threadpool_limits

from safs.comparison.bootstrap import Array
from safs.comparison.measures import probability_of_beating
from safs.comparison.table import Table, find_table
from safs.search import search, starting_points
from safs.strands import NoTrials, run_strands
from searchers.registry import make_searcher
from spaces.assignment import Assignment

TABLE = "lenet5-digits"
EVALUATIONS = 20
INITIAL = 5
SEEDS = 25
OURS = ("surrogate", "bo")
SMAC = {"SMAC": {}, "SMAC, a forest each": {"retrain_after": 1, "retries": 10_000}}
"""What is set of the component that proposes."""


def our_final(name: str, table: Table, seed: int) -> float:
    """Return the lowest cost that a searcher of ours finds."""
    searcher = make_searcher(name, table.space, seed, start=starting_points("random", table.space, seed))
    (steps,) = run_strands([search(searcher, table, budget=EVALUATIONS, pending=1)], NoTrials())
    return min(_cost(table, step.assignment) for step in steps)


def smacs_final(settings: Mapping[str, int], table: Table, seed: int, folder: Path) -> float:
    """Return the lowest cost that SMAC's facade finds; it writes to `folder`."""
    from ConfigSpace import Configuration
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory import TrialInfo, TrialValue

    space = table.space.to_configspace(seed)
    scenario = Scenario(space, deterministic=True, n_trials=EVALUATIONS, seed=seed, output_directory=folder)
    facade = HyperparameterOptimizationFacade(
        scenario,
        lambda config, seed=0: 0.0,  # never called: it is asked and told
        initial_design=HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=INITIAL - 1),
        config_selector=HyperparameterOptimizationFacade.get_config_selector(scenario, **settings),
        logging_level=False,
    )
    (start,) = starting_points("random", table.space, seed)
    trial = TrialInfo(Configuration(space, values=dict(zip(table.space.sites, start, strict=True))), seed=0)
    tried: dict[Assignment, float] = {}
    while True:
        assignment = table.space.from_values(dict(trial.config))
        assert assignment not in tried, "SMAC evaluates nothing twice"
        tried[assignment] = _cost(table, assignment)
        facade.tell(trial, TrialValue(cost=tried[assignment]))
        if len(tried) == EVALUATIONS:
            return min(tried.values())
        trial = facade.ask()


def _cost(table: Table, assignment: Assignment) -> float:
    cost = table.outcome(assignment).cost
    assert cost is not None, f"nothing failed in {TABLE}"
    return cost


def finals() -> dict[str, Array]:
    """Return the final costs of all, seed by seed."""
    table, found = find_table(TABLE), {}
    for name in OURS:
        found[name] = np.array([our_final(name, table, seed) for seed in range(SEEDS)])
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in SMAC.items():
            seeds = track(range(SEEDS), name, console=Console(stderr=True), transient=True)
            costs = [smacs_final(settings, table, seed, Path(folder, f"{name} {seed}")) for seed in seeds]
            found[name] = np.array(costs)
    return found


def main() -> None:
    logging.getLogger("smac").setLevel(logging.ERROR)  # it warns whenever it goes on at random
    with threadpool_limits(1):
        found = finals()
    printed = Printed(title=f"{TABLE}, {EVALUATIONS} evaluations, {SEEDS} seeds")
    for heading in ("searcher", "mean final cost", *(f"ends better than {name}" for name in SMAC)):
        printed.add_column(heading, justify="left" if heading == "searcher" else "right")
    for name, costs in found.items():
        row = [name, f"{costs.mean():.4f} ± {costs.std(ddof=1):.4f}"]
        for other in SMAC:
            (share,) = probability_of_beating(costs[:, None], found[other][:, None])
            row.append(f"{share:.0%}" if name in OURS else "")
        printed.add_row(*row)
    Console().print(printed)


if __name__ == "__main__":
    main()
