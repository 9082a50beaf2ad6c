"""From the runs of a contest to `comparison.json`: everything that the page and the terminal say comes from here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safs.comparison import measures
from safs.comparison.bootstrap import Array, Bootstrap
from safs.comparison.contest import Contest, Run
from safs.comparison.significance import compare_finals
from safs.config.compare import ContestantConfig
from safs.config.schema import Config
from safs.search import mode
from searchers.registry import all_options
from spaces.assignment import AssignmentSpace

SCHEMA = 1
REFERENCE = "rs"
"""The searcher that the others are asked to beat."""
SHARES = {"best_1": 0.01, "best_5": 0.05}


@dataclass(frozen=True)
class Landscape:
    """What was searched.

    Attributes:
        name: the table's, or the network's and the data's.
        space: the assignments.
        costs: of all of them, infinity where one failed, if they are known (a table); else None.
    """

    name: str
    space: AssignmentSpace
    costs: Sequence[float] | None


def evaluate_contest(config: Config, landscape: Landscape, contest: Contest) -> dict[str, Any]:
    """Return what a contest comes to, as JSON values; every searcher has as many runs, seed by seed."""
    budget = config.stage1.iterations
    runs = list(contest.values())
    curves = np.stack([[_curve(run, budget) for run in each] for each in runs])
    starts = np.array([[_given(run) for run in each] for each in runs])
    known = _known(landscape, runs)
    thresholds = {name: np.array([_best(costs, share) for costs in known]) for name, share in SHARES.items()}
    ranks, bootstrap = measures.ranks(curves), Bootstrap(len(runs[0]), config.seed)
    reference = next((i for i, each in enumerate(config.compare.searchers) if each.searcher == REFERENCE), None)
    searchers = []
    for i, contestant in enumerate(config.compare.searchers):
        reach = {name: _reach(curves[i], limits, starts[i], bootstrap) for name, limits in thresholds.items()}
        searchers.append(
            {
                **_identity(contestant),
                **_effort(config, contest, i),
                "final": _spread(curves[i][:, -1]),
                "curve": _curve_values(curves[i], bootstrap),
                "rank": _plain(ranks[i].mean(axis=0)),
                "rank_interval": _plain(bootstrap.mean(ranks[i][:, -1])),
                **_beats(curves[i], None if reference is None else curves[reference], bootstrap),
                "reach": reach,
                "runs": [
                    {"seed": run.seed, "incumbent": _plain(curve)}
                    for run, curve in zip(runs[i], curves[i], strict=True)
                ],
            }
        )
    finals = {contestant.label: curves[i][:, -1] for i, contestant in enumerate(config.compare.searchers)}
    return {
        "schema": SCHEMA,
        "landscape": _describe(landscape),
        "setting": _setting(config, landscape, runs) | {"best": _counts(known)},
        "searchers": searchers,
        "significance": compare_finals(finals).to_json(),
    }


def _curve(run: Run, budget: int) -> Array:
    costs = [step.outcome.cost for step in run.steps if not step.free]
    return measures.incumbents(costs, budget, start=[step.outcome.cost for step in run.steps if step.free])


def _given(run: Run) -> float:
    return min((step.outcome.cost for step in run.steps if step.free and step.outcome.cost is not None), default=np.inf)


def _beats(curves: Array, others: Array | None, bootstrap: Bootstrap) -> dict[str, Any]:
    if others is None:
        return {"beats_random": None, "beats_random_interval": None}
    last = measures.duels(curves[:, -1], others[:, -1])
    return {
        "beats_random": _plain(measures.probability_of_beating(curves, others)),
        "beats_random_interval": _plain(bootstrap.pairs(last)),
    }


def _known(landscape: Landscape, runs: Sequence[Sequence[Run]]) -> list[Sequence[float]]:
    """Return for each seed the costs of all assignments, or of those evaluated; infinity where one failed."""
    seeds = range(len(runs[0]))
    if landscape.costs is not None:
        return [landscape.costs for _ in seeds]
    found = [{step.assignment: step.outcome.cost for each in runs for step in each[seed].steps} for seed in seeds]
    return [[np.inf if cost is None else cost for cost in costs.values()] for costs in found]


def _best(costs: Sequence[float], share: float) -> float:
    """Return the greatest finite cost among the best share of some; minus infinity if all of these failed."""
    return max(filter(np.isfinite, sorted(costs)[: _count(costs, share)]), default=-np.inf)


def _count(costs: Sequence[float], share: float) -> int:
    return max(1, int(share * len(costs)))


def _counts(known: Sequence[Sequence[float]]) -> dict[str, int]:
    """Return how many assignments are among the best share, with the seed that has most of them."""
    return {name: max(_count(costs, share) for costs in known) for name, share in SHARES.items()}


def _reach(curves: Array, thresholds: Array, start: Array, bootstrap: Bootstrap) -> dict[str, Any]:
    counts = measures.evaluations_to_reach(curves, thresholds, start)
    return {
        "median": _finite(float(np.median(counts))),
        "interval": _plain(bootstrap.median(counts)),
        "reached": float(np.isfinite(counts).mean()),
        "by_seed": _plain(counts),
    }


def _identity(contestant: ContestantConfig) -> dict[str, Any]:
    options = all_options(contestant.searcher, contestant.options)
    return {"label": contestant.label, "searcher": contestant.searcher, "options": options}


def _effort(config: Config, contest: Contest, number: int) -> dict[str, Any]:
    """Return what a searcher spent over all seeds, what failed, and what another one had evaluated, too."""
    labels = list(contest)
    runs = contest[labels[number]]
    shared = 0
    for seed, run in enumerate(runs):
        others = {step.assignment for label in labels if label != labels[number] for step in contest[label][seed].steps}
        shared += sum(step.assignment in others for step in run.steps if not step.free)
    spent = [step for run in runs for step in run.steps if not step.free]
    failed = Counter(str(step.outcome.reason) for step in spent if step.outcome.cost is None)
    return {
        "evaluations": len(spent),
        "epochs": len(spent) * config.stage1.epochs,
        "shared": shared,
        "failed": dict(sorted(failed.items())),
    }


def _curve_values(curves: Array, bootstrap: Bootstrap) -> dict[str, Any]:
    mean = measures.mean_curve(curves)
    low, high = measures.band(curves, bootstrap)
    return {
        "mean": _plain(mean),
        "low": _plain(low),
        "high": _plain(high),
        "smoothed": _plain(measures.smoothed(mean)),
        "seeds": [int(n) for n in np.isfinite(curves).sum(axis=0)],
    }


def _spread(finals: Array) -> dict[str, Any]:
    known = finals[np.isfinite(finals)]
    return {
        "mean": float(known.mean()) if len(known) else None,
        "std": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "n": len(known),
    }


def _describe(landscape: Landscape) -> dict[str, Any]:
    costs = landscape.costs
    return {
        "name": landscape.name,
        "kind": "live" if costs is None else "table",
        "sites": list(landscape.space.sites),
        "operators": list(landscape.space.operators),
        "size": landscape.space.size,
        "failed": None if costs is None else int(np.isinf(costs).sum()),
        "best": None if costs is None else float(min(costs)),
    }


def _setting(config: Config, landscape: Landscape, runs: Sequence[Sequence[Run]]) -> dict[str, Any]:
    charged = [(seed, step) for each in runs for seed, run in enumerate(each) for step in run.steps if not step.free]
    return {
        "iterations": config.stage1.iterations,
        "epochs": config.stage1.epochs,
        "fitness": config.stage1.fitness,
        "start": config.stage1.start,
        "given": sum(step.free for step in runs[0][0].steps),
        "pending": config.stage1.pending,
        "mode": mode(config.stage1.pending),
        "seeds": [run.seed for run in runs[0]],
        "charged": len(charged),
        "distinct": len({(seed, step.assignment) for seed, step in charged}),
        "best_of": "all assignments" if landscape.costs is not None else "the assignments evaluated with that seed",
    }


def _plain(values: Iterable[float]) -> list[float | None]:
    return [_finite(float(value)) for value in values]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
