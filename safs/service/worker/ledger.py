"""What a worker writes of a study: only ever in a transaction that has seen that the lease is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from safs.service.states import Reason, State
from safs.service.store import leases, lifecycle, studies, trials
from safs.service.store.database import Database
from safs.service.store.leases import MOST_FRUITLESS, Lease
from safs.service.store.studies import Study
from safs.service.worker.outcome import CANCELED, Outcome


class Ledger:
    """Writes of one study under one lease; without it nothing, and says so.

    Args:
        database: the database.
        lease: of the study.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease

    def trials(self) -> int:
        """Return how many trials of the study are stored."""
        with self._database.reading() as connection:
            return trials.count(connection, self._lease.study_id)

    def is_held(self) -> bool:
        """Return whether the lease is still held."""
        return self._write(lambda connection: None)

    def add(
        self, ended: Sequence[Mapping[str, Any]], progress: Mapping[str, Any] | None, files: str | None = None
    ) -> bool:
        """Store trials that ended, how far the study is, and how its files are found, if that is known.

        Returns:
            Whether the lease was held; nothing is stored if not.
        """

        def write(connection: Connection) -> None:
            trials.add(connection, self._lease.study_id, ended)
            if ended:
                studies.has_got_on(connection, self._lease.study_id)
            if progress is not None:
                studies.set_progress(connection, self._lease.study_id, progress)
            if files is not None:
                studies.set_files(connection, self._lease.study_id, files)

        return self._write(write)

    def end(self, outcome: Outcome, summary: Mapping[str, Any] | None) -> Outcome | None:
        """Store what becomes of the study, its summary if it has ended well, and return it; None without the lease."""
        final: list[Outcome] = []
        held = self._write(lambda connection: final.append(self._end(connection, outcome, summary)))
        return final[0] if held else None

    def _write(self, write: Callable[[Connection], None]) -> bool:
        with self._database.writing() as connection:
            if not leases.is_held(connection, self._lease):
                return False
            write(connection)
        return True

    def _end(self, connection: Connection, outcome: Outcome, summary: Mapping[str, Any] | None) -> Outcome:
        study = studies.get(connection, self._lease.study_id)
        assert study is not None, "a study that is leased is there"
        values: dict[str, Any] = {}
        outcome = _settled(outcome, study)
        if study.progress is not None:
            values["progress"] = {**study.progress, "seconds_left": None, "running": []}
        if outcome.state is State.QUEUED and not outcome.counts:
            values |= {"attempts": study.attempts - 1, "fruitless": max(0, study.fruitless - 1)}
        if outcome.state is State.SUCCEEDED:
            values["summary"] = summary
        if outcome.state is not State.QUEUED:
            values["ended"] = Database.now(connection)
        lifecycle.transition(
            connection,
            study.id,
            State.RUNNING,
            outcome.state,
            lease=self._lease.name,
            reason=outcome.reason,
            message=outcome.message,
            **values,
        )
        return outcome


def _settled(outcome: Outcome, study: Study) -> Outcome:
    """Return what becomes of a study that would be queued again: not if it is to be canceled, nor for ever."""
    if outcome.state is not State.QUEUED:
        return outcome
    if study.cancelling:
        return CANCELED
    if not outcome.counts:
        return outcome
    if study.fruitless >= MOST_FRUITLESS:
        why = f"{outcome.message} So it went {study.fruitless} times in a row; its finished trials are kept."
        return Outcome(State.FAILED, Reason.LOST, why)
    return replace(outcome, message=f"{outcome.message} It goes on with the next attempt.")
