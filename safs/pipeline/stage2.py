"""Step 2: SMAC over the fine-tuning hyperparameters, while α, β are learned (Section 4.2, stage 2)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from safs.config.schema import Config
from safs.hpo import Proposal, SmacSearch, smac_search
from safs.observer import Observer
from safs.pipeline.stage1 import NoValidTrialError
from safs.protocol import Protocol
from safs.runner import Runner
from safs.spec import TrialSpec
from safs.strands import run_strands
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


def tune(config: Config, arms: Mapping[str, Assignment], runner: Runner, observer: Observer) -> dict[str, Stage2]:
    """Return for each of some assignments the hyperparameters with which it generalises best, tried on every fold.

    Args:
        arms: assignments by the names of their phases: "safs" for that of stage 1, "stage2" for the original operators.

    Raises:
        NoValidTrialError: if every configuration of an arm failed.
    """
    with contextlib.ExitStack() as stack:
        strands = {}
        for name, assignment in arms.items():
            search = stack.enter_context(smac_search(config.seed, config.stage2.trials, config.train, runner.folder))
            strands[name] = _Tuning(config, assignment, name, search, runner, observer)
        run_strands(strands.values(), runner)
    for name, strand in strands.items():
        if strand.best is None:
            raise NoValidTrialError(
                f"Stage 2 ({name}) spent its {config.stage2.trials} trials without a valid one: see trials/*/log.txt."
            )
    return {name: strand.best for name, strand in strands.items() if strand.best is not None}


class _Tuning:
    """SMAC's search for one assignment: a strand. The oldest pending score is told before each further proposal."""

    def __init__(
        self, config: Config, assignment: Assignment, arm: str, search: SmacSearch, runner: Runner, observer: Observer
    ) -> None:
        self.best: Stage2 | None = None
        self._config = config
        self._assignment = assignment
        self._arm = arm
        self._search = search
        self._runner = runner
        self._observer = observer
        self._left: int | None = None
        self._waiting: deque[tuple[Proposal, list[TrialSpec]]] = deque()

    def proceed(self) -> bool:
        """Propose and tell as far as that goes without waiting for a trial; return whether the budget is spent."""
        stage2 = self._config.stage2
        if self._left is None:
            self._observer.phase(f"stage 2, {self._arm}", stage2.trials * stage2.folds)
            self._left = stage2.trials
        while True:
            while len(self._waiting) < stage2.pending and self._left:
                self._left = self._left - 1 if self._propose() else 0
            if not self._waiting:
                return True
            proposal, specs = self._waiting[0]
            if not all(self._runner.is_done(spec) for spec in specs):
                return False
            self._waiting.popleft()
            self._tell(proposal, [self._runner.outcome(spec).cost for spec in specs])

    def _propose(self) -> bool:
        """Start the trials of one more proposal; return whether there was any."""
        proposal = self._search.ask()
        if proposal is None:
            return False
        specs = fold_specs(self._config, self._assignment, stage2_protocol(self._config, proposal.hyperparameters))
        for spec in specs:
            self._runner.start(self._arm, spec)
        self._waiting.append((proposal, specs))
        return True

    def _tell(self, proposal: Proposal, costs: Sequence[float | None]) -> None:
        errors = [cost for cost in costs if cost is not None]
        error = fmean(errors) if len(errors) == len(costs) else None
        self._search.tell(proposal, error)
        if error is not None and (self.best is None or error < self.best.error):
            self.best = Stage2(proposal.hyperparameters, error)


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
