"""What happened to studies, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from safs.service.states import State
from safs.service.store.tables import EventRow

_SINCE = (
    select(EventRow.id, EventRow.study_id, EventRow.kind, EventRow.data)
    .where(EventRow.study_id == bindparam("study"), EventRow.id > bindparam("last"))
    .order_by(EventRow.id)
)


@dataclass(frozen=True)
class Event:
    """Something that happened: its number, of which study it is, its kind ("state" or "trial"), and what."""

    id: int
    study_id: str
    kind: str
    data: Mapping[str, Any]


def add(connection: Connection, study_id: str, kind: str, *data: Mapping[str, Any]) -> None:
    """Append events of one kind, in the transaction that makes them true."""
    if data:
        connection.execute(insert(EventRow), [{"study_id": study_id, "kind": kind, "data": dict(one)} for one in data])


def add_state(connection: Connection, study_id: str, state: State, reason: str | None, message: str | None) -> None:
    """Append that a study is in another state now, in the transaction that puts it there."""
    add(connection, study_id, "state", {"state": state, "reason": reason, "message": message})


def since(connection: Connection, after: int, *, study_id: str, limit: int = 500) -> list[Event]:
    """Return the next events of a study after a number."""
    rows = connection.execute(_SINCE.limit(limit), {"study": study_id, "last": after})
    return [Event(*row) for row in rows]


def newest(connection: Connection, study_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of the last event of each study that has any."""
    query = (
        select(EventRow.study_id, func.max(EventRow.id))
        .where(EventRow.study_id.in_(study_ids))
        .group_by(EventRow.study_id)
    )
    return dict(connection.execute(query).all())
