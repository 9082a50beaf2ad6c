"""When to try again what failed because the database, or the storage, was away."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLite's own: what fails while a connection is made ready does not come as SQLAlchemy's.
_AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeoutError, sqlite3.OperationalError, OSError)
_FIRST_S = 0.2
_LONGEST_S = 5.0


def is_away(error: Exception) -> bool:
    """Return whether a database restarts, cannot be reached, is too busy or has lost its place, or a disk hangs."""
    return isinstance(error, _AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated)


class Patience:
    """Lets through what does not fail; after each failure waits twice as long.

    Args:
        every: seconds from one time to the next, if nothing fails.
        clock: returns the time in seconds.
    """

    def __init__(self, every: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._pause = _FIRST_S
        self._next = clock()

    @property
    def is_due(self) -> bool:
        """Whether it is time to try."""
        return self._clock() >= self._next

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Swallow that the database or the storage is away."""
        try:
            yield
        except Exception as error:
            if not is_away(error):
                raise
            self._next = self._clock() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_S)
        else:
            self._pause = _FIRST_S
            self._next = self._clock() + self._every

    def hurry(self) -> None:
        """Make it time to try, as there is something new."""
        self._next = self._clock()
