"""The contest: every searcher runs once with every seed, from the same start, on the same budget."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safs.config.compare import ContestantConfig
from safs.config.schema import Config
from safs.journal import Journal
from safs.observer import Observer
from safs.outcome import Reason, Status, TrialOutcome
from safs.report.text import plural
from safs.search import Evaluation, Evaluator, search, starting_points
from safs.strands import Strand, Trials, run_strands
from searchers.base import Searcher
from searchers.registry import make_searcher
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError, brief, shown


@dataclass(frozen=True)
class Run:
    """What one searcher did with one seed, in the order in which it asked."""

    seed: int
    steps: tuple[Evaluation, ...]


Contest = Mapping[str, Sequence[Run]]
"""The runs of every searcher by its label, seed by seed."""


def given(config: Config, space: AssignmentSpace) -> list[Assignment]:
    """Return what every searcher is given, and is not charged for."""
    return space.uniform() if config.stage1.start == "uniform" else []


def capped(config: Config, space: AssignmentSpace) -> Config:
    """Return a config whose budget is no larger than what a space leaves to search: no search is charged more.

    Raises:
        SafsError: if every assignment is given.
    """
    left = space.size - len(given(config, space))
    if not left:
        operators, sites = plural(len(space.operators), "operator"), plural(len(space.sites), "site")
        raise SafsError(
            f"With {operators} at {sites}, stage1.start=uniform gives every assignment to all, and nothing is left to "
            "search; set stage1.start=random, or search several operators at several sites."
        )
    budget = min(config.stage1.iterations, left)
    return config.model_copy(update={"stage1": config.stage1.model_copy(update={"iterations": budget})})


def hold_contest(
    config: Config,
    space: AssignmentSpace,
    evaluator: Callable[[str, int], Evaluator],
    trials: Trials,
    journal: Journal,
    observer: Observer,
) -> dict[str, list[Run]]:
    """Let every contestant of a config run with every seed; runs that the journal holds are not run again.

    Where there is room for more trials than one run has pending, runs go on side by side.

    Args:
        config: its `compare` says who runs and how often, its `stage1` the budget, the start and how many suggestions
            are pending; `capped` at the space.
        space: what they search.
        evaluator: returns what evaluates assignments for a contestant, by its label, with a seed.
        trials: what the evaluators start.
        journal: of the run directory, whose evaluators are always the same.
        observer: is told who runs.

    Raises:
        SafsError: if the journal's record of a run is damaged.
    """
    recorded = _recorded(journal)
    known = given(config, space)
    seeds = range(config.seed, config.seed + config.compare.seeds)
    total = len(seeds) * (len(known) + config.stage1.iterations)
    keys: dict[tuple[str, int], str] = {}
    missing: dict[str, Strand[Run]] = {}
    begun: set[str] = set()

    def run(label: str, seed: int, key: str, searcher: Searcher) -> Strand[Run]:
        if label not in begun:
            begun.add(label)
            observer.phase(label, total)
        budget, pending = config.stage1.iterations, config.stage1.pending
        steps = yield from search(searcher, evaluator(label, seed), budget=budget, pending=pending, known=known)
        ended = Run(seed, tuple(steps))
        journal.append({"kind": "run", "key": key, "label": label, **_to_json(ended)})
        return ended

    for contestant in config.compare.searchers:
        for seed in seeds:
            searcher = _searcher(contestant, config, space, seed)
            key = keys[contestant.label, seed] = _key(searcher, config, seed)
            if key not in recorded:
                missing[key] = run(contestant.label, seed, key, searcher)
    runs = dict(zip(missing, run_strands(missing.values(), trials), strict=True))
    for (_, seed), key in keys.items():
        if key not in runs:
            runs[key] = _read(recorded[key], config, space, known, seed, journal)
    return {
        contestant.label: [runs[keys[contestant.label, seed]] for seed in seeds]
        for contestant in config.compare.searchers
    }


def _recorded(journal: Journal) -> dict[str, Mapping[str, Any]]:
    """Return the records of runs by their keys."""
    recorded: dict[str, Mapping[str, Any]] = {}
    for record in journal.records:
        if record["kind"] == "run":
            if not isinstance(record.get("key"), str):
                raise _damaged(journal, "a run", "`key` is no text")
            recorded[record["key"]] = record
    return recorded


def _searcher(contestant: ContestantConfig, config: Config, space: AssignmentSpace, seed: int) -> Searcher:
    start = starting_points(config.stage1.start, space, seed)
    return make_searcher(contestant.searcher, space, seed, start=start, options=contestant.options)


def _key(searcher: Searcher, config: Config, seed: int) -> str:
    """Return all that a run depends on beside the run directory's evaluators."""
    budget, pending = config.stage1.iterations, config.stage1.pending
    return json.dumps([searcher.options(), seed, budget, pending, config.stage1.start], sort_keys=True)


def _to_json(run: Run) -> dict[str, Any]:
    steps = [[list(step.assignment), step.outcome.cost, step.outcome.reason, step.free] for step in run.steps]
    return {"seed": run.seed, "steps": steps}


def _read(
    record: Mapping[str, Any],
    config: Config,
    space: AssignmentSpace,
    known: Collection[Assignment],
    seed: int,
    journal: Journal,
) -> Run:
    """Return a run that the journal holds, after checking that a search can have come to it."""
    try:
        if type(record["seed"]) is not int or record["seed"] != seed:
            raise ValueError(f"`seed` is not {seed}")
        steps = tuple(_read_step(values, space, known) for values in record["steps"])
        if len({step.assignment for step in steps}) < len(steps):
            raise ValueError("an assignment stands there twice")
        spent = sum(not step.free for step in steps)
        if spent != config.stage1.iterations:
            raise ValueError(f"it has {spent} steps that cost something, not {config.stage1.iterations}")
    except (KeyError, TypeError, ValueError, SafsError) as error:
        raise _damaged(journal, f"{shown(str(record.get('label')))} with seed {seed}", _said(error)) from error
    return Run(seed, steps)


def _read_step(values: Any, space: AssignmentSpace, known: Collection[Assignment]) -> Evaluation:
    assignment, cost, reason, free = values
    if not isinstance(assignment, list):
        raise TypeError("an assignment is no list")
    if (cost is None) == (reason is None):
        raise ValueError("a step needs either a cost or a reason")
    if cost is not None and not _is_finite(cost):
        raise ValueError("a cost is no finite number")
    checked = space.check(assignment)
    if free is not (checked in known):
        raise ValueError("a step is marked free that was not given, or not marked though it was")
    if cost is None:
        return Evaluation(checked, TrialOutcome(Status.FAILED, reason=Reason(reason)), free)
    return Evaluation(checked, TrialOutcome(Status.SUCCEEDED, cost=float(cost)), free)


def _is_finite(value: object) -> bool:
    """Return whether a JSON value is a number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else brief(error)


def _damaged(journal: Journal, which: str, what: str) -> SafsError:
    return SafsError(
        f"The record of {which} in {journal.path} is damaged ({what}); "
        "restore the file, or start anew in another run directory."
    )
