"""Who runs what: a worker leases a study for a while, and renews the lease as long as it lives.

A lease has a name of its own. Everything that a worker stores names its lease, so that one that was thought dead, and
comes back after its study went to another, changes nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select, update
from sqlalchemy.orm import aliased

from safs.service.states import Reason, State
from safs.service.store import lifecycle
from safs.service.store.database import Database
from safs.service.store.tables import StudyRow, TokenRow

MOST_FRUITLESS = 5
"""After so many workers in a row that were lost before a trial had ended, a study has failed (LOST): it is likely to be
the reason."""
_CLAIM = 0x5AF5_0002
_ROUNDING = 1e-6
"""GPUs: thirds and fifths of one do not add up to the last bit."""


@dataclass(frozen=True)
class Lease:
    """The right to run a study: its name, and whose; and by what the storage found the study's files when it began."""

    study_id: str
    name: str
    files: str | None = None


def claim(database: Database, worker: str, seconds: float) -> Lease | None:
    """Lease the study whose turn it is, or return None if none waits that may run now.

    The highest priority goes first, then the oldest. The studies of a token wait while those that run have as many
    GPUs as it may have.

    Args:
        database: the database.
        worker: names the worker, for people.
        seconds: how long the lease lasts, if it is not renewed.
    """
    with database.writing() as connection:
        database.take_turns(connection, _CLAIM)
        _take_back(connection)
        found = connection.execute(_next()).first()
        if found is None:
            return None
        lease = Lease(found.id, secrets.token_hex(16), found.files)
        now = Database.now(connection)
        taken = lifecycle.transition(
            connection,
            lease.study_id,
            State.QUEUED,
            State.RUNNING,
            new_lease=lease.name,
            leased_until=now + seconds,
            worker=worker,
            started=func.coalesce(StudyRow.started, now),
            attempts=StudyRow.attempts + 1,
            fruitless=StudyRow.fruitless + 1,
        )
        assert taken, "claims take turns"
    return lease


def renew(connection: Connection, lease: Lease, seconds: float) -> bool | None:
    """Make a lease last for so long from now. Return whether the study is to be canceled; None if the lease is lost."""
    changed = connection.execute(
        update(StudyRow)
        .where(StudyRow.id == lease.study_id, StudyRow.lease == lease.name)
        .values(leased_until=Database.now(connection) + seconds)
        .returning(StudyRow.cancelling)
    )
    return changed.scalar()


def is_held(connection: Connection, lease: Lease) -> bool:
    """Return whether a lease is still good; in a transaction that writes, it stays so until its end."""
    query = select(StudyRow.id).where(StudyRow.id == lease.study_id, StudyRow.lease == lease.name).with_for_update()
    return connection.execute(query).first() is not None


def take_back(database: Database) -> None:
    """Queue again what workers ran that have not been heard of any more.

    Whoever claims does it first; it is for all others to do now and then, as nobody may have room for a study.
    """
    with database.reading() as connection:
        if connection.execute(_lost(Database.now(connection)).limit(1)).first() is None:
            return
    with database.writing() as connection:
        _take_back(connection)


def names(connection: Connection) -> set[str]:
    """Return the names of all leases that are held, or not taken back yet."""
    return {
        lease
        for lease in connection.execute(select(StudyRow.lease).where(StudyRow.lease.is_not(None))).scalars()
        if lease is not None
    }


def _lost(now: float) -> Select[*tuple[Any, ...]]:
    return select(StudyRow.id, StudyRow.fruitless, StudyRow.cancelling).where(
        StudyRow.state == State.RUNNING, StudyRow.leased_until < now
    )


def _take_back(connection: Connection) -> None:
    """Take back what is lost, but for what somebody else is changing (renews, cancels): the next time tells."""
    now = Database.now(connection)
    for study in connection.execute(_lost(now).with_for_update(skip_locked=True)).all():
        if study.cancelling:
            lifecycle.transition(connection, study.id, State.RUNNING, State.CANCELED, ended=now)
        elif study.fruitless >= MOST_FRUITLESS:
            why = f"{study.fruitless} workers in a row were lost while they ran it; its finished trials are kept."
            lifecycle.transition(
                connection, study.id, State.RUNNING, State.FAILED, reason=Reason.LOST, message=why, ended=now
            )
        else:
            why = "Its worker was lost; it goes on with the next."
            lifecycle.transition(connection, study.id, State.RUNNING, State.QUEUED, message=why)


def _next() -> Select[*tuple[Any, ...]]:
    """Return the query for the study whose turn it is."""
    running = aliased(StudyRow)
    in_use = (
        select(func.coalesce(func.sum(running.gpus), 0.0))
        .where(running.state == State.RUNNING, running.token_id == StudyRow.token_id)
        .scalar_subquery()
    )
    within_share = in_use + StudyRow.gpus <= TokenRow.most_gpus + _ROUNDING
    return (
        select(StudyRow.id, StudyRow.files)
        .join(TokenRow, TokenRow.id == StudyRow.token_id)
        .where(
            StudyRow.state == State.QUEUED,
            or_(StudyRow.gpus == 0, TokenRow.most_gpus.is_(None), within_share),
        )
        .order_by(StudyRow.priority.desc(), StudyRow.id)
        .limit(1)
        .with_for_update(of=StudyRow, skip_locked=True)  # what is being canceled is nobody's turn
    )
