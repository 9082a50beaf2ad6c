"""The trials of studies that have ended: copies of their journals' records, for listing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from safs.service.store import events
from safs.service.store.tables import TrialRow

_AFTER = (
    select(TrialRow.trial)
    .where(TrialRow.study_id == bindparam("study"), TrialRow.n > bindparam("last"))
    .order_by(TrialRow.n)
)
_SOME_AFTER = _AFTER.limit(bindparam("limit"))  # made once: SQLAlchemy takes longer for that than SQLite to answer


def count(connection: Connection, study_id: str) -> int:
    """Return how many trials of a study are stored."""
    query = select(func.coalesce(func.max(TrialRow.n), 0)).where(TrialRow.study_id == study_id)
    return int(connection.execute(query).scalar_one())


def add(connection: Connection, study_id: str, trials: Sequence[Mapping[str, Any]]) -> None:
    """Store the next trials of a study, whose `n` go on from those that are stored, and tell those who follow it."""
    if trials:
        connection.execute(
            insert(TrialRow), [{"study_id": study_id, "n": trial["n"], "trial": dict(trial)} for trial in trials]
        )
        events.add(connection, study_id, "trial", *trials)


def after(connection: Connection, study_id: str, n: int, limit: int | None = None) -> list[Mapping[str, Any]]:
    """Return the trials of a study after the n-th."""
    query, values = _AFTER, {"study": study_id, "last": n}
    if limit is not None:
        query, values = _SOME_AFTER, values | {"limit": limit}
    return list(connection.execute(query, values).scalars())
