"""Step 2: SMAC over the fine-tuning hyperparameters, while α, β are learned (Section 4.2, stage 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from safs.config.schema import Config
from safs.hpo import Proposal, smac_search
from safs.observer import Observer
from safs.pipeline.stage1 import NoValidTrialError
from safs.protocol import Protocol
from safs.runner import Runner
from safs.spec import TrialSpec
from safs.strands import Strand
from spaces.assignment import Assignment


@dataclass(frozen=True)
class Stage2:
    """What stage 2 found for one assignment.

    Attributes:
        hyperparameters: the best configuration.
        error: its validation error in [0, 1], the mean over the folds.
    """

    hyperparameters: Mapping[str, Any]
    error: float


def tune(config: Config, assignment: Assignment, arm: str, runner: Runner, observer: Observer) -> Strand[Stage2]:
    """Return the hyperparameters with which an assignment generalises best, each tried on every fold.

    The oldest pending score is told before each further proposal, so the order in which trials end changes nothing.

    Args:
        arm: the name of the phase: "safs" for the assignment of stage 1, "stage2" for the original operators.

    Raises:
        NoValidTrialError: if every configuration failed.
    """
    observer.phase(f"stage 2, {arm}", config.stage2.trials * config.stage2.folds)
    best: Stage2 | None = None
    waiting: deque[tuple[Proposal, list[TrialSpec]]] = deque()
    left = config.stage2.trials
    with smac_search(config.seed, config.stage2.trials, config.train, runner.folder) as search:
        while True:
            while len(waiting) < config.stage2.pending and left:
                proposal = search.ask()
                if proposal is None:
                    left = 0
                    break
                left -= 1
                specs = fold_specs(config, assignment, stage2_protocol(config, proposal.hyperparameters))
                for spec in specs:
                    runner.start(arm, spec)
                waiting.append((proposal, specs))
            if not waiting:
                break
            proposal, specs = waiting.popleft()
            while not all(runner.is_done(spec) for spec in specs):
                yield
            errors = [cost for spec in specs if (cost := runner.outcome(spec).cost) is not None]
            error = fmean(errors) if len(errors) == len(specs) else None
            search.tell(proposal, error)
            if error is not None and (best is None or error < best.error):
                best = Stage2(proposal.hyperparameters, error)
    if best is None:
        raise NoValidTrialError(
            f"Stage 2 ({arm}) spent its {config.stage2.trials} trials without a valid one: see trials/*/log.txt."
        )
    return best


def stage2_protocol(config: Config, hyperparameters: Mapping[str, Any]) -> Protocol:
    """Return the protocol that stage 2 tries a configuration with."""
    return replace(config.train.tuned(hyperparameters), epochs=config.stage2.epochs or config.train.epochs)


def fold_specs(config: Config, assignment: Assignment, protocol: Protocol) -> list[TrialSpec]:
    """Return the trials that score a configuration: one per fold."""
    return [
        TrialSpec(
            network="pruned",
            assignment=assignment,
            protocol=protocol,
            study_seed=config.seed,
            cost="validation_error",
            learn=True,
            per_channel=config.stage2.scales == "channel",
            folds=config.stage2.folds,
            fold=fold,
        )
        for fold in range(config.stage2.folds)
    ]
