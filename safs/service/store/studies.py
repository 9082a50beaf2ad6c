"""Studies as they are stored: one, lists of them, how far they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, null, select, update
from sqlalchemy.sql.elements import ColumnElement

from safs.service.states import State
from safs.service.store.tables import StudyRow, TokenRow


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


def _study(row: Any) -> Study:
    return Study(**(dict(row._mapping) | {"state": State(row.state)}))
