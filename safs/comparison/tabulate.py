"""Making a table: every assignment of a small space is trained once."""

from __future__ import annotations

from pathlib import Path

from safs.comparison.table import LARGEST, Table
from safs.config.schema import Config
from safs.observer import Observer
from safs.outcome import Reason, TrialOutcome
from safs.pipeline.stage1 import stage1_spec
from safs.session import announce, open_session
from safs.trial import Problem
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError


def tabulate(config: Config, folder: Path, observer: Observer, *, resume: bool) -> Table:
    """Train every assignment of `stage1.operators` at stage 1's fidelity; may be killed and resumed at any moment.

    Args:
        config: the study whose stage 1 is to be replayed.
        folder: the run directory.
        observer: is told what happens, to show it.
        resume: whether the run directory may have been begun before.

    Raises:
        SafsError: if the space is too large, if every assignment failed, or as `open_session` says.
    """

    def check(problem: Problem) -> None:
        space = AssignmentSpace(problem.sites.names, config.stage1.operators)
        if space.size > LARGEST:
            raise SafsError(
                f"{len(space.operators)} operators at {len(space.sites)} sites are {space.size:,} assignments, and a "
                f"table has at most {LARGEST}; name fewer operators, such as --set stage1.operators=[relu,srs,elu]."
            )

    with open_session(config, folder, observer, resume=resume, purpose="table", check=check) as session:
        space = AssignmentSpace(session.prepared.problem.sites.names, config.stage1.operators)
        announce(config, session.prepared, observer)
        observer.phase("table", space.size)
        observer.expect(space.size, lambda spec: 1.0)
        outcomes = session.runner.run("table", [stage1_spec(config, assignment) for assignment in space])
        inputs = next(record for record in session.journal.records if record["kind"] == "inputs")
        return Table(
            space=space,
            outcomes=tuple(_entry(outcome) for outcome in outcomes),
            config=config.model_dump(mode="json", by_alias=True),
            made_with={"device": inputs["device"], **inputs["versions"]},
        )


def _entry(outcome: TrialOutcome) -> float | Reason:
    if outcome.cost is not None:
        return outcome.cost
    assert outcome.reason is not None, "a trial ends with a cost or a reason"
    return outcome.reason
