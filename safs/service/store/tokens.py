"""Bearer tokens: made, looked up, revoked. Only their SHA-256 is stored: they are random, and need no slow hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from safs.service.scopes import Scope
from safs.service.store.database import Database
from safs.service.store.tables import TokenRow
from spaces.errors import SafsError, shown

PREFIX = "safs_"
"""With which every token begins, so that those who scan logs and repositories for secrets recognise it."""
_LONGEST_NAME = 100
_MOST_QUEUED, _MOST_BYTES, _MOST_GPUS = 10**9, 2**62, 10**6
_ALL = select(
    TokenRow.id,
    TokenRow.name,
    TokenRow.scope,
    TokenRow.most_queued,
    TokenRow.most_bytes,
    TokenRow.most_gpus,
    TokenRow.created,
    TokenRow.revoked,
).order_by(TokenRow.id)
# What every request asks is made once: SQLAlchemy takes longer to make a query than SQLite to answer it.
_GOOD = _ALL.where(TokenRow.sha256 == bindparam("digest"), TokenRow.revoked.is_(None))
_NOT_REVOKED = select(TokenRow.id).where(TokenRow.id == bindparam("token"), TokenRow.revoked.is_(None))


@dataclass(frozen=True)
class Token:
    """Who asks.

    Attributes:
        id, name: of the token.
        scope: what it allows.
        most_queued, most_bytes, most_gpus: limits of its own, or None.
        created, revoked: seconds since 1970; None while it is good.
    """

    id: int
    name: str
    scope: Scope
    most_queued: int | None = None
    most_bytes: int | None = None
    most_gpus: float | None = None
    created: float = 0.0
    revoked: float | None = None


def create(
    connection: Connection,
    name: str,
    scope: Scope,
    *,
    most_queued: int | None = None,
    most_bytes: int | None = None,
    most_gpus: float | None = None,
) -> str:
    """Make a token and return it: the only time that it can be seen.

    Raises:
        SafsError: if the name is taken, or is none.
    """
    if not _is_name(name):
        raise SafsError(f"A token's name must be 1 to {_LONGEST_NAME} printable characters, but is {shown(name)}.")
    for what, limit, most in (
        ("waiting studies", most_queued, _MOST_QUEUED),
        ("bytes of an upload", most_bytes, _MOST_BYTES),
        ("GPUs", most_gpus, _MOST_GPUS),
    ):
        if limit is not None and not 0 <= limit <= most:
            raise SafsError(f"A token's limit of {what} must be 0 to {most:,}, but is {limit}.")
    secret = PREFIX + secrets.token_urlsafe(32)
    values = {"most_queued": most_queued, "most_bytes": most_bytes, "most_gpus": most_gpus}
    try:
        connection.execute(
            insert(TokenRow).values(
                name=name, sha256=_digest(secret), scope=scope, created=Database.now(connection), **values
            )
        )
    except IntegrityError:
        raise SafsError(f"There is or was a token of the name {shown(name)} already; take another name.") from None
    return secret


def find(connection: Connection, secret: str) -> Token | None:
    """Return a token that has not been revoked, or None."""
    found = connection.execute(_GOOD, {"digest": _digest(secret)}).first()
    return _token(found) if found is not None else None


def is_good(connection: Connection, id: int) -> bool:
    """Return whether a token has not been revoked."""
    return connection.execute(_NOT_REVOKED, {"token": id}).first() is not None


def every(connection: Connection) -> list[Token]:
    """Return all tokens, those that were revoked among them, in the order in which they were made."""
    return [_token(row) for row in connection.execute(_ALL)]


def revoke(connection: Connection, name: str) -> None:
    """Make a token good for nothing.

    Raises:
        SafsError: if there is none of that name that is good.
    """
    now = Database.now(connection)
    query = update(TokenRow).where(TokenRow.name == name, TokenRow.revoked.is_(None)).values(revoked=now)
    if not _is_name(name) or not connection.execute(query).rowcount:
        good = ", ".join(token.name for token in every(connection) if token.revoked is None) or "none"
        raise SafsError(f"There is no token {shown(name)} to revoke; there are: {good}.")


def _is_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= _LONGEST_NAME and name.isprintable()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        scope=Scope(row.scope),
        most_queued=row.most_queued,
        most_bytes=row.most_bytes,
        most_gpus=row.most_gpus,
        created=row.created,
        revoked=row.revoked,
    )
