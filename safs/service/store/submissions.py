"""Studies as they are submitted: within their token's limit, and one for each key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from safs.service.states import State
from safs.service.store import events
from safs.service.store.database import Database
from safs.service.store.tables import StudyRow, TokenRow
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
    if hold_token(connection, token_id).revoked is not None:
        raise RevokedError("This token was revoked.")
    earlier = known(connection, token_id, submission.idempotency_key, submission.request)
    if earlier is not None:
        return earlier
    check_queue(connection, token_id, most_queued)
    values = {field.name: getattr(submission, field.name) for field in fields(submission)}
    values |= {"id": id, "token_id": token_id, "state": State.QUEUED, "created": Database.now(connection)}
    connection.execute(insert(StudyRow).values(**values))
    events.add_state(connection, id, State.QUEUED, None, submission.message)
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


def hold_token(connection: Connection, token_id: int) -> Row[int | None, float | None]:
    """Return how many studies of a token may wait, if it has a limit of its own, and when it was revoked.

    Whoever asks takes turns with others of the token, so that its limit holds, and one key makes one study.
    """
    query = select(TokenRow.most_queued, TokenRow.revoked).where(TokenRow.id == token_id).with_for_update()
    return connection.execute(query).one()
