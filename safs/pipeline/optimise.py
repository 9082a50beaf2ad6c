"""Steps 1 and 2 together: what rests on nothing else goes on beside them, where there is room for its trials."""

from __future__ import annotations

import itertools

from safs.config.schema import Config
from safs.observer import Observer
from safs.pipeline.rows import early_rows
from safs.pipeline.stage1 import Stage1, search_operators
from safs.pipeline.stage2 import Stage2, tune
from safs.runner import Runner
from safs.strands import Strand, run_strands
from safs.trial import Problem


def optimise(config: Config, problem: Problem, runner: Runner, observer: Observer) -> tuple[Stage1, dict[str, Stage2]]:
    """Return what stage 1 found, and what stage 2 did for that assignment ("safs") and the original one ("stage2").

    Raises:
        NoValidTrialError: if a stage spent its budget without one valid trial.
    """
    if config.stage1.pending < runner.room:
        observer.warning(
            f"There is room for {runner.room} trials at a time, and stage 1 has {config.stage1.pending} pending: "
            "`stage1.pending` and `stage2.pending` say how many suggestions may wait, on which results depend."
        )
    for spec in itertools.chain(*early_rows(config, problem).values()):
        runner.start("final", spec, background=True)
    found: list[Stage1] = []

    def both_stages() -> Strand[Stage2]:
        found.append((yield from search_operators(config, problem, runner, observer)))
        return (yield from tune(config, found[0].assignment, "safs", runner, observer))

    second_stage = tune(config, problem.sites.original, "stage2", runner, observer)
    safs, stage2 = run_strands([both_stages(), second_stage], runner)
    return found[0], {"safs": safs, "stage2": stage2}
