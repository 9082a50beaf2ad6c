"""The token of whoever starts the service for the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safs.client.address import is_loopback
from safs.service.scopes import Scope
from safs.service.store import tokens
from safs.service.store.database import Database
from spaces.errors import SafsError

_NAME = "first"


def first_token(database: Database, host: str, keep: Callable[[str], object]) -> str | None:
    """Return a token for whoever starts the service on this machine for the first time, or None if there are tokens.

    Args:
        database: of the service.
        host: where it listens.
        keep: is given the token before it becomes good: what is shown only once must not be lost.

    Raises:
        SafsError: if there is none, and the service would be reached from elsewhere.
    """
    with database.writing() as connection:
        if any(token.revoked is None for token in tokens.every(connection)):
            return None
        if not is_loopback(host):
            raise SafsError(
                f"There is no token yet, and --host {host} can be reached from elsewhere; make one first: "
                "safs token create NAME --scope admin (with the same --home and --settings)"
            )
        names = {token.name for token in tokens.every(connection)}
        name = next(name for name in _names() if name not in names)
        token = tokens.create(connection, name, Scope.ADMIN)
        keep(token)
        return token


def _names() -> Iterator[str]:
    yield _NAME
    number = 2
    while True:
        yield f"{_NAME}-{number}"
        number += 1
