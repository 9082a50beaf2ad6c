"""How a study goes from state to state: by one function."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, update
from sqlalchemy.sql.elements import ColumnElement

from safs.service.states import ENDED, Reason, State, check_transition
from safs.service.store import events, studies
from safs.service.store.database import Database
from safs.service.store.studies import Study
from safs.service.store.submissions import check_queue, hold_token
from safs.service.store.tables import EventRow, StudyRow, TrialRow


def transition(
    connection: Connection,
    id: str,
    before: State,
    after: State,
    *,
    lease: str | None = None,
    new_lease: str | None = None,
    reason: Reason | None = None,
    message: str | None = None,
    **values: Any,
) -> bool:
    """Move a study from a state into another, and tell those who follow it. The only place where a state changes.

    Args:
        connection: in a transaction that writes.
        id: of the study.
        before, after: the states.
        lease: only if it is leased so.
        new_lease: the lease of the worker that takes it.
        reason, message: why.
        **values: further columns to set.

    Returns:
        Whether it was in that state, and leased so; if not, nothing has changed.

    Raises:
        StateError: if no study may go from the one state into the other.
    """
    check_transition(before, after)
    conditions: list[ColumnElement[bool]] = [StudyRow.id == id, StudyRow.state == before]
    if lease is not None:
        conditions.append(StudyRow.lease == lease)
    values["lease"] = new_lease
    if before is State.RUNNING:
        values |= {"leased_until": None, "worker": None, "cancelling": False}
    changed = connection.execute(
        update(StudyRow).where(*conditions).values(state=after, reason=reason, message=message, **values)
    )
    if changed.rowcount:
        events.add_state(connection, id, after, reason, message)
    return bool(changed.rowcount)


def cancel(connection: Connection, study: Study) -> bool:
    """Cancel a study: at once if it waits, else by its worker. Return whether it could be, in the state it is in now.

    Args:
        connection: in a transaction that writes.
        study: which.
    """
    now = studies.get(connection, study.id, for_update=True)
    if now is None or now.state not in (State.QUEUED, State.RUNNING):
        return False
    if now.state is State.QUEUED:
        return transition(connection, now.id, State.QUEUED, State.CANCELED, ended=Database.now(connection))
    connection.execute(update(StudyRow).where(StudyRow.id == now.id).values(cancelling=True))
    return True


def resume(connection: Connection, study: Study, *, most_queued: int | None = None) -> bool:
    """Queue a study again that has failed or was canceled; its journal is kept. Return whether it could be.

    Args:
        connection: in a transaction that writes.
        study: which.
        most_queued: how many studies may wait of a token that has no limit of its own.

    Raises:
        LimitError: if too many of its token wait.
    """
    now = studies.get(connection, study.id, for_update=True)
    if now is None or now.state not in (State.FAILED, State.CANCELED):
        return False
    own = hold_token(connection, now.token_id).most_queued
    check_queue(connection, now.token_id, most_queued if own is None else own)
    return transition(
        connection, now.id, now.state, State.QUEUED, ended=None, attempts=0, fruitless=0, cancelling=False
    )


def remove(connection: Connection, id: str) -> bool:
    """Forget a study that has ended, its trials and its events. Return whether it could be, in the state it is in now.

    Args:
        connection: in a transaction that writes.
        id: of the study.
    """
    now = studies.get(connection, id, for_update=True)
    if now is None or now.state not in ENDED:
        return False
    for table in (EventRow, TrialRow):
        connection.execute(delete(table).where(table.study_id == id))
    connection.execute(delete(StudyRow).where(StudyRow.id == id))
    return True
