"""What a study would train, phase by phase: the specs come from the functions that the phases themselves use."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from safs.config.schema import Config
from safs.pipeline.prepare import dense_spec
from safs.pipeline.rows import row_specs
from safs.pipeline.stage1 import Stage1, finalist_spec, stage1_spec
from safs.pipeline.stage2 import Stage2, fold_specs, stage2_protocol
from safs.pipeline.trainer import TrialTrainer
from safs.pruning.registry import make_method, prune
from safs.spec import TrialSpec
from safs.trial import Problem
from spaces.assignment import Assignment, AssignmentSpace
from spaces.hyperparameters import OPTIMIZERS


@dataclass(frozen=True)
class Phase:
    """One phase of a study.

    Attributes:
        name: as in the journal: dense, prune, uniform, stage1, finalists, safs, stage2, final.
        specs: as many trials as it may take, each for one that costs as much: a mixture of operators stands for what
            searches will propose, and the optimisers in turn for what SMAC will.
    """

    name: str
    specs: tuple[TrialSpec, ...]


def plan(config: Config, problem: Problem) -> list[Phase]:
    """Return the phases of a study that starts from `problem`, the untrained network, in their order."""
    dense = () if config.model.pretrain is None else (dense_spec(config, problem.sites),)
    prunings = tuple(spec for spec in _prunings(config, problem) if spec not in dense)
    before = [phase for phase in (Phase("dense", dense), Phase("prune", prunings)) if phase.specs]
    return before + searches(config, problem)


def searches(config: Config, problem: Problem) -> list[Phase]:
    """Return the phases of a study that come once the network is pruned."""
    space = AssignmentSpace(problem.sites.names, config.stage1.operators)
    mixed = mixtures(space)
    evaluations = [stage1_spec(config, assignment) for assignment in mixed]
    uniform = len(space.operators)
    found, tuned = Stage1(mixed[0], mixed[0], cost=0.0), Stage2({}, error=0.0)
    rows = row_specs(config, problem, found, {"safs": tuned, "stage2": tuned})
    searched = uniform + min(config.stage1.iterations, space.size - uniform)
    confirmed = min(config.stage1.finalists, searched)
    finalists = [finalist_spec(config, assignment) for assignment in mixed] if confirmed > 1 else []
    phases = [
        Phase("uniform", _in_turn(evaluations, uniform)),
        Phase("stage1", _in_turn(evaluations, searched - uniform)),
        Phase("finalists", _in_turn(finalists, confirmed)),
        Phase("safs", _stage2(config, mixed)),
        Phase("stage2", _stage2(config, [problem.sites.original])),
        Phase("final", tuple(spec for specs in rows.values() for spec in specs if spec not in finalists)),
    ]
    return [phase for phase in phases if phase.specs]


def mixtures(space: AssignmentSpace) -> list[Assignment]:
    """Return the fewest assignments in which every operator stands at some site, each about equally often."""
    operators, sites = space.operators, len(space.sites)
    count = -(-len(operators) // sites)
    endless = itertools.cycle(operators)
    return [tuple(itertools.islice(endless, sites)) for _ in range(count)]


def examples(spec: TrialSpec, available: int) -> int:
    """Return how many of the training examples a trial trains on, which are those outside its fold."""
    return available - len(range(spec.fold, available, spec.folds)) if spec.folds else available


def steps(spec: TrialSpec, available: int) -> int:
    """Return the optimiser steps of a trial."""
    count = examples(spec, available)
    return epochs(spec) * (count // min(spec.protocol.batch_size, count))


def epochs(spec: TrialSpec) -> int:
    """Return the epochs that a trial trains."""
    first, last = spec.span or (0, spec.protocol.epochs)
    return last - first


def _prunings(config: Config, problem: Problem) -> list[TrialSpec]:
    """Return the trainings that a pruning method asks for, which is let do all its work but them."""
    asked: list[TrialSpec] = []
    if config.prune is None or "train" not in make_method(config.prune.method, config.prune.options).needs:
        return asked

    def note(spec: TrialSpec, problem: Problem) -> Mapping[str, Tensor]:
        asked.append(spec)
        return problem.model.state_dict()

    trainer = TrialTrainer(problem, config.model.pretrain or config.train, config.seed, note)
    model, method = copy.deepcopy(problem.model), config.prune.method
    prune(model, config.prune.ratio, method=method, options=config.prune.options, train=trainer)
    return asked


def _stage2(config: Config, assignments: Sequence[Assignment]) -> tuple[TrialSpec, ...]:
    found: list[TrialSpec] = []
    for trial in range(config.stage2.trials):
        protocol = stage2_protocol(config, {"optimizer": OPTIMIZERS[trial % len(OPTIMIZERS)]})
        found += fold_specs(config, assignments[trial % len(assignments)], protocol)
    return tuple(found)


def _in_turn(specs: Sequence[TrialSpec], count: int) -> tuple[TrialSpec, ...]:
    return tuple(itertools.islice(itertools.cycle(specs), count))
