"""What lost workers and killed processes leave: studies are taken back, files are removed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from safs.service.storage.base import Storage
from safs.service.store import leases, studies
from safs.service.store.database import Database

_STALE_S = 86_400.0
"""After so long a folder that nobody knows is nobody's work any more."""
_TAKE_BACK_S = 5.0
_SWEEP_S = 3600.0


@contextmanager
def cleaning_up(database: Database, storage: Storage) -> Iterator[None]:
    """Take back what lost workers ran, as no other worker may be there, and remove what killed processes left."""
    ending = threading.Event()

    def again_and_again(seconds: float, act: Callable[[], object]) -> None:
        while not ending.wait(seconds):
            with suppress(SQLAlchemyError, sqlite3.Error, OSError):  # it is tried again
                act()

    def start(name: str, seconds: float, act: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=again_and_again, args=(seconds, act), name=f"safs: {name}", daemon=True)
        thread.start()
        return thread

    lost = start("lost workers", _TAKE_BACK_S, lambda: leases.take_back(database))
    start("what is left", _SWEEP_S, lambda: sweep(database, storage))
    try:
        yield
    finally:
        ending.set()
        lost.join()  # the other may be in the middle of a slow bucket, and may be killed there


def sweep(database: Database, storage: Storage) -> None:
    """Remove from the storage what killed processes left there."""
    with database.reading() as connection:
        known, now = studies.every_id(connection), database.now(connection)
    storage.sweep(known, now - _STALE_S)
