"""The contest: every searcher runs once with every seed, from the same start, on the same budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safs.config.compare import ContestantConfig
from safs.config.schema import Config
from safs.journal import Journal
from safs.outcome import Reason
from safs.runner import Observer
from safs.search import Evaluator, search
from searchers.base import Searcher
from searchers.registry import make_searcher
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError

_START_STREAM = 0x57A127
"""Sets the random starting assignments apart from what searchers of the same seed draw."""


@dataclass(frozen=True)
class Step:
    """One evaluation: an assignment, its cost or why it failed, and whether it was given (and cost nothing)."""

    assignment: Assignment
    cost: float | None
    reason: Reason | None
    free: bool


@dataclass(frozen=True)
class Run:
    """What one searcher did with one seed, in the order in which it asked."""

    seed: int
    steps: tuple[Step, ...]


Contest = Mapping[str, Sequence[Run]]
"""The runs of every searcher by its label, seed by seed."""


def hold_contest(
    config: Config,
    space: AssignmentSpace,
    evaluator: Callable[[int], Evaluator],
    journal: Journal,
    observer: Observer,
) -> dict[str, list[Run]]:
    """Let every contestant of a config run with every seed; runs that the journal holds are not run again.

    Args:
        config: its `compare` says who runs and how often, its `stage1` the budget, the start and how many suggestions
            are pending.
        space: what they search.
        evaluator: returns what evaluates assignments with a seed.
        journal: of the run directory, whose evaluators are always the same.
        observer: is told who runs.
    """
    runs: dict[str, list[Run]] = {}
    recorded = {record["key"]: record for record in journal.records if record["kind"] == "run"}
    seeds = range(config.seed, config.seed + config.compare.seeds)
    for contestant in config.compare.searchers:
        observer.phase(contestant.label, len(seeds) * config.stage1.iterations)
        runs[contestant.label] = []
        for seed in seeds:
            searcher = _searcher(contestant, config, space, seed)
            key = _key(searcher, config, seed)
            if key not in recorded:
                run = _run(searcher, config, space, evaluator(seed), seed)
                journal.append({"kind": "run", "key": key, "label": contestant.label, **_to_json(run)})
            else:
                run = _from_json(recorded[key])
            runs[contestant.label].append(run)
    return runs


def _searcher(contestant: ContestantConfig, config: Config, space: AssignmentSpace, seed: int) -> Searcher:
    if config.stage1.start == "uniform":
        start = space.uniform()
    else:
        start = [space.sample(np.random.default_rng([_START_STREAM, seed]))]
    return make_searcher(contestant.searcher, space, seed, start=start, options=contestant.options)


def _key(searcher: Searcher, config: Config, seed: int) -> str:
    """Return all that a run depends on beside the run directory's evaluators."""
    budget, pending = config.stage1.iterations, config.stage1.pending
    return json.dumps([searcher.options(), seed, budget, pending, config.stage1.start], sort_keys=True)


def _run(searcher: Searcher, config: Config, space: AssignmentSpace, evaluator: Evaluator, seed: int) -> Run:
    evaluations = search(
        searcher,
        evaluator,
        budget=config.stage1.iterations,
        pending=config.stage1.pending,
        known=space.uniform() if config.stage1.start == "uniform" else (),
    )
    steps = (Step(each.assignment, each.outcome.cost, each.outcome.reason, each.free) for each in evaluations)
    return Run(seed, tuple(steps))


def _to_json(run: Run) -> dict[str, Any]:
    steps = [[list(step.assignment), step.cost, step.reason, step.free] for step in run.steps]
    return {"seed": run.seed, "steps": steps}


def _from_json(record: Mapping[str, Any]) -> Run:
    try:
        steps = (
            Step(tuple(assignment), cost, None if reason is None else Reason(reason), bool(free))
            for assignment, cost, reason, free in record["steps"]
        )
        return Run(int(record["seed"]), tuple(steps))
    except (KeyError, TypeError, ValueError) as error:
        raise SafsError(
            f"The journal's record of the run {record.get('key')} is damaged ({type(error).__name__}: {error}); "
            "restore the file, or start anew in another run directory."
        ) from error
