"""Studies: submitted, listed, and moved from state to state by one function."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, null, select, update
from sqlalchemy.sql.elements import ColumnElement

from safs.service.states import ENDED, Reason, State, check_transition
from safs.service.store import events
from safs.service.store.database import Database
from safs.service.store.tables import EventRow, StudyRow, TokenRow, TrialRow
from spaces.errors import SafsError


class LimitError(SafsError):
    """A limit of the token's that a submission would exceed."""


class OtherRequestError(SafsError):
    """An idempotency key that was used for another request."""


class RevokedError(SafsError):
    """A token that was revoked after it was looked at."""


@dataclass(frozen=True)
class Submission:
    """What somebody submits. The fields are those of the table."""

    name: str
    priority: int
    config: str
    model: str
    data: str
    searcher: str
    gpus: float
    checkpoint: Mapping[str, Any] | None
    mask: Mapping[str, Any] | None
    idempotency_key: str | None
    request: str
    message: str | None = None


@dataclass(frozen=True)
class Study:
    """A study as it is stored; see `StudyRow`."""

    id: str
    token_id: int
    owner: str
    name: str
    state: State
    reason: str | None
    message: str | None
    priority: int
    model: str
    data: str
    searcher: str
    gpus: float
    checkpoint: Mapping[str, Any] | None
    mask: Mapping[str, Any] | None
    created: float
    started: float | None
    ended: float | None
    cancelling: bool
    attempts: int
    fruitless: int
    lease: str | None
    leased_until: float | None
    worker: str | None
    files: str | None
    progress: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None


_COLUMNS = {f.name: getattr(StudyRow, f.name) for f in fields(Study) if f.name != "owner"} | {"owner": TokenRow.name}
_BRIEF = _COLUMNS | {"summary": null()}
_JOINED = StudyRow.__table__.join(TokenRow.__table__)


def _select(columns: Mapping[str, Any]) -> Select[Any]:
    return select(*(column.label(name) for name, column in columns.items())).select_from(_JOINED)


# What many requests ask is made once: SQLAlchemy takes longer to make a query than SQLite to answer it.
_ONE = _select(_COLUMNS).where(StudyRow.id == bindparam("study"))
_ONE_LOCKED = _ONE.with_for_update(of=StudyRow.__table__)
_NEWEST = _select(_BRIEF).order_by(StudyRow.id.desc()).limit(bindparam("limit"))
_FILTERS: dict[str, ColumnElement[bool]] = {
    "token": StudyRow.token_id == bindparam("token"),
    "states": StudyRow.state.in_(bindparam("states", expanding=True)),
    "below": StudyRow.id < bindparam("below"),
}
_CONFIG = select(StudyRow.config).where(StudyRow.id == bindparam("study"))


def submit(connection: Connection, token_id: int, submission: Submission, *, id: str, most_queued: int | None) -> str:
    """Store a study that waits, and return its id: that of an earlier one if the same was submitted with the same key.

    Args:
        connection: in a transaction that writes.
        token_id: whose it is.
        submission: what.
        id: for a new one; its files are there already.
        most_queued: how many of that token's studies may wait.

    Raises:
        LimitError: if too many wait.
        OtherRequestError: if the key was used for something else.
        RevokedError: if the token was revoked while it sent this.
    """
    if _token(connection, token_id).revoked is not None:
        raise RevokedError("This token was revoked.")
    earlier = known(connection, token_id, submission.idempotency_key, submission.request)
    if earlier is not None:
        return earlier
    check_queue(connection, token_id, most_queued)
    values = {field.name: getattr(submission, field.name) for field in fields(submission)}
    values |= {"id": id, "token_id": token_id, "state": State.QUEUED, "created": Database.now(connection)}
    connection.execute(insert(StudyRow).values(**values))
    _tell(connection, id, State.QUEUED, None, submission.message)
    return id


def check_queue(connection: Connection, token_id: int, most: int | None) -> None:
    """Check that one more study of a token may wait.

    Raises:
        LimitError: if too many wait.
    """
    if most is None:
        return
    query = select(func.count()).where(StudyRow.token_id == token_id, StudyRow.state == State.QUEUED)
    waiting = connection.execute(query).scalar_one()
    if waiting >= most:
        raise LimitError(f"{waiting} of your studies wait already, and {most} may; try again later.")


def is_known(connection: Connection, token_id: int, key: str) -> bool:
    """Return whether a token has submitted something with a key."""
    query = select(StudyRow.id).where(StudyRow.token_id == token_id, StudyRow.idempotency_key == key)
    return connection.execute(query).first() is not None


def known(connection: Connection, token_id: int, key: str | None, request: str) -> str | None:
    """Return the study that a token submitted with a key, or None.

    Raises:
        OtherRequestError: if the request was another one.
    """
    if key is None:
        return None
    query = select(StudyRow.id, StudyRow.request).where(StudyRow.token_id == token_id, StudyRow.idempotency_key == key)
    found = connection.execute(query).first()
    if found is None:
        return None
    if found.request != request:
        raise OtherRequestError("This Idempotency-Key was used for another request; take a new one.")
    return str(found.id)


def get(connection: Connection, id: str, *, for_update: bool = False) -> Study | None:
    """Return a study, or None if there is none.

    Args:
        connection: to the database.
        id: of the study.
        for_update: nobody else changes it until the end of this transaction, which writes.
    """
    row = connection.execute(_ONE_LOCKED if for_update else _ONE, {"study": id}).first()
    return _study(row) if row is not None else None


def listed(
    connection: Connection,
    *,
    token_id: int | None,
    states: Collection[State] = (),
    name: str = "",
    limit: int,
    below: str | None = None,
) -> list[Study]:
    """Return studies without their summaries, newest first, of that token if one is given.

    Args:
        connection: to the database.
        token_id: whose.
        states: which, if any are given.
        name: what the name contains, in any case.
        limit: how many at most.
        below: only those that are older than this id.
    """
    filters = {"token": token_id, "states": list(states) or None, "below": below}
    given = {filter: value for filter, value in filters.items() if value is not None}
    query = _newest(tuple(given))
    if name:
        query = query.where(StudyRow.name.icontains(name, autoescape=True))
    rows = connection.execute(query, given | {"limit": limit})
    return [_study(row) for row in rows]


@cache
def _newest(filters: tuple[str, ...]) -> Select[Any]:
    return _NEWEST.where(*(_FILTERS[filter] for filter in filters))


def config(connection: Connection, id: str) -> str:
    """Return the config of a study that is there, as YAML."""
    return str(connection.execute(_CONFIG, {"study": id}).scalar_one())


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
        _tell(connection, id, after, reason, message)
    return bool(changed.rowcount)


def cancel(connection: Connection, study: Study) -> bool:
    """Cancel a study: at once if it waits, else by its worker. Return whether it could be, in the state it is in now.

    Args:
        connection: in a transaction that writes.
        study: which.
    """
    now = get(connection, study.id, for_update=True)
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
    now = get(connection, study.id, for_update=True)
    if now is None or now.state not in (State.FAILED, State.CANCELED):
        return False
    own = _token(connection, now.token_id).most_queued
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
    now = get(connection, id, for_update=True)
    if now is None or now.state not in ENDED:
        return False
    for table in (EventRow, TrialRow):
        connection.execute(delete(table).where(table.study_id == id))
    connection.execute(delete(StudyRow).where(StudyRow.id == id))
    return True


def every_id(connection: Connection) -> set[str]:
    """Return the ids of all studies."""
    return set(connection.execute(select(StudyRow.id)).scalars())


def counts(connection: Connection) -> dict[State, int]:
    """Return how many studies are in each state."""
    found = dict(connection.execute(select(StudyRow.state, func.count()).group_by(StudyRow.state)).all())
    return {state: found.get(state.value, 0) for state in State}


def progress(connection: Connection, ids: Collection[str]) -> dict[str, Mapping[str, Any] | None]:
    """Return how far each of some studies is."""
    query = select(StudyRow.id, StudyRow.progress).where(StudyRow.id.in_(ids))
    return {row.id: row.progress for row in connection.execute(query)}


def has_got_on(connection: Connection, id: str) -> None:
    """Note that this attempt has brought a trial to its end; whoever calls it holds the lease."""
    connection.execute(update(StudyRow).where(StudyRow.id == id).values(fruitless=0))


def set_progress(connection: Connection, id: str, progress: Mapping[str, Any] | None) -> None:
    """Store how far a study is; whoever calls it holds its lease."""
    connection.execute(update(StudyRow).where(StudyRow.id == id).values(progress=progress))


def set_files(connection: Connection, id: str, files: str) -> None:
    """Store by what the storage finds the files of a study; whoever calls it holds its lease."""
    connection.execute(update(StudyRow).where(StudyRow.id == id).values(files=files))


def _token(connection: Connection, token_id: int) -> Row[int | None, float | None]:
    """Return how many studies of a token may wait, if it has a limit of its own, and when it was revoked.

    Whoever asks takes turns with others of the token, so that its limit holds, and one key makes one study.
    """
    query = select(TokenRow.most_queued, TokenRow.revoked).where(TokenRow.id == token_id).with_for_update()
    return connection.execute(query).one()


def _tell(connection: Connection, id: str, state: State, reason: str | None, message: str | None) -> None:
    events.add(connection, id, "state", {"state": state, "reason": reason, "message": message})


def _study(row: Any) -> Study:
    return Study(**(dict(row._mapping) | {"state": State(row.state)}))
