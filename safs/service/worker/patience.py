"""When to try again what failed because the database, or the storage, was away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from safs.service.store import database

_FIRST_S = 0.2
_LONGEST_S = 5.0


def is_away(error: Exception) -> bool:
    """Return whether the database is away, or the storage."""
    return database.is_away(error) or isinstance(error, OSError)


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
