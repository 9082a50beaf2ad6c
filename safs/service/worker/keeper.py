"""The leases of a worker, kept alive beside everything else that it does."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from safs.service.store import leases
from safs.service.store.database import Database
from safs.service.store.leases import Lease

_SLOWEST_S = 2.0
"""So often at least is a lease renewed: that is also how its worker learns that the study is to be canceled."""
_LOOK_S = 0.1
_FAREWELL_S = 2.0


def _nothing() -> None:
    """Do nothing."""


class Held:
    """A lease that this worker has, or had.

    Attributes:
        lease: which.
        good_until: from when on it must count as lost, in seconds of the monotonic clock.
        cancelling: whether its study is to be canceled.
        lost: whether another worker may have the study: nothing may be done for it any more.
    """

    def __init__(self, lease: Lease, good_until: float) -> None:
        self.lease = lease
        self.good_until = good_until
        self.cancelling = False
        self.lost = False
        self._on_loss: Callable[[], None] = _nothing
        self._lock = threading.Lock()

    def lose(self) -> None:
        """Note that it is lost."""
        with self._lock:
            if not self.lost:
                self.lost = True
                self._on_loss()

    def when_lost(self, then: Callable[[], None]) -> None:
        """Have something called once, by any thread, when it is lost: at once if it is already."""
        with self._lock:
            self._on_loss = then
            if self.lost:
                then()

    def forget(self) -> None:
        """Have nothing called when it is lost; once this returns, nothing is."""
        self.when_lost(_nothing)


class Keeper:
    """Claims studies and renews their leases, by a thread of its own: storing trials may take its time.

    Another thread sees to it that a lease which was not renewed in time counts as lost at once, even while the
    database does not answer.

    Args:
        database: the database.
        worker: names the worker, for people.
        seconds: how long a lease lasts.
    """

    def __init__(self, database: Database, worker: str, seconds: float) -> None:
        self._database = database
        self._worker = worker
        self._seconds = seconds
        self._held: list[Held] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=loop, name=f"safs: {name}", daemon=True)
            for name, loop in (("leases", self._renew_all), ("lost leases", self._look))
        ]

    def __enter__(self) -> Keeper:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_FAREWELL_S)

    def claim(self) -> Held | None:
        """Lease the study whose turn it is, or return None if none waits."""
        began = time.monotonic()
        lease = leases.claim(self._database, self._worker, self._seconds)
        if lease is None:
            return None
        held = Held(lease, began + self._seconds)
        with self._lock:
            self._held.append(held)
        return held

    def release(self, held: Held) -> None:
        """Renew a lease no longer."""
        with self._lock:
            self._held.remove(held)
        held.forget()

    def _all(self) -> list[Held]:
        with self._lock:
            return [held for held in self._held if not held.lost]

    def _renew_all(self) -> None:
        while not self._over.wait(min(self._seconds / 3, _SLOWEST_S)):
            for held in self._all():
                # It is tried again, as long as the lease lasts, whatever it was.
                with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
                    self._renew(held)

    def _renew(self, held: Held) -> None:
        began = time.monotonic()
        with self._database.writing() as connection:
            cancelling = leases.renew(connection, held.lease, self._seconds)
        if cancelling is None:
            if held in self._all():  # else its study has ended meanwhile
                held.lose()
        else:
            held.good_until = began + self._seconds
            held.cancelling = cancelling

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            for held in self._all():
                if time.monotonic() > held.good_until:
                    held.lose()
