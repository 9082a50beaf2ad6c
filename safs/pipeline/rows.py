"""Step 3: train the rows of the report, all from the same pruned weights, with the same epochs and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from safs.config.schema import Config
from safs.observer import Observer
from safs.pipeline.stage1 import Stage1
from safs.pipeline.stage2 import Stage2
from safs.runner import Runner
from safs.spec import TrialSpec
from safs.trial import Problem


def early_rows(config: Config, problem: Problem) -> dict[str, list[TrialSpec]]:
    """Return the rows that rest on no search: their trials can fill what the searches leave idle."""
    vanilla = _vanilla(config, problem)
    srelu = replace(vanilla, assignment=("srelu",) * len(problem.sites))
    return {"vanilla": _seeded(config, vanilla), "srelu": _seeded(config, srelu)}


def row_specs(
    config: Config, problem: Problem, stage1: Stage1, tuned: Mapping[str, Stage2]
) -> dict[str, list[TrialSpec]]:
    """Return for each trained row of invariant 9 its trials, one per seed.

    There is no row best_single if no single operator trained at every site.
    """
    vanilla = _vanilla(config, problem)
    learned = replace(vanilla, learn=True, per_channel=config.stage2.scales == "channel")
    rows = {
        "best_single": replace(vanilla, assignment=stage1.best_single) if stage1.best_single else None,
        "stage1": replace(vanilla, assignment=stage1.assignment),
        "stage2": replace(learned, protocol=config.train.tuned(tuned["stage2"].hyperparameters)),
        "safs": replace(
            learned,
            assignment=stage1.assignment,
            protocol=config.train.tuned(tuned["safs"].hyperparameters),
        ),
    }
    return early_rows(config, problem) | {name: _seeded(config, spec) for name, spec in rows.items() if spec}


def _vanilla(config: Config, problem: Problem) -> TrialSpec:
    original = problem.sites.original
    return TrialSpec(network="pruned", assignment=original, protocol=config.train, study_seed=config.seed, keep=True)


def _seeded(config: Config, spec: TrialSpec) -> list[TrialSpec]:
    seeds = range(config.seed, config.seed + config.report.seeds)
    return [replace(spec, study_seed=seed) for seed in seeds]


def train_rows(rows: dict[str, list[TrialSpec]], runner: Runner, observer: Observer) -> None:
    """Train every row on all training examples and keep the networks."""
    observer.phase("final rows", sum(len(specs) for specs in rows.values()))
    runner.run("final", [spec for specs in rows.values() for spec in specs], retry=True)
