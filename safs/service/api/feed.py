"""News for those who follow studies: one task asks the database for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from safs.service.store import events, studies
from safs.service.store.database import Database

_log = logging.getLogger(__name__)
_PERIOD_S = 0.5


class Follower:
    """One who follows a study: woken whenever there may be something new."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait for news, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()

    def wake(self) -> None:
        """Say that there are news."""
        self._news.set()


class Feed:
    """Wakes those who follow a study when it has a new event or has got on.

    Args:
        database: is asked twice a second, as long as anybody follows anything.

    Attributes:
        closed: whether nobody is to follow any more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: dict[str, set[Follower]] = {}
        self._seen: dict[str, object] = {}
        self.closed = False

    @asynccontextmanager
    async def following(self, study_id: str) -> AsyncIterator[Follower]:
        """Follow a study."""
        follower = Follower()
        self._followers.setdefault(study_id, set()).add(follower)
        try:
            yield follower
        finally:
            self._followers[study_id].discard(follower)
            if not self._followers[study_id]:
                del self._followers[study_id]
                self._seen.pop(study_id, None)

    async def run(self) -> None:
        """Look for news until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            followed = list(self._followers)
            if not followed:
                continue
            try:
                now = await asyncio.to_thread(self._look, followed)
            except SQLAlchemyError as error:
                _log.error("The database does not answer: %s", type(error).__name__)
                continue
            for study_id in followed:
                if self._seen.get(study_id) != now.get(study_id):
                    self._seen[study_id] = now.get(study_id)
                    for follower in self._followers.get(study_id, ()):
                        follower.wake()

    def close(self) -> None:
        """Wake everybody: the server is about to end."""
        self.closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.wake()

    def _look(self, followed: list[str]) -> dict[str, object]:
        with self._database.reading() as connection:
            newest = events.newest(connection, followed)
            progress = studies.progress(connection, followed)
        return {study: (newest.get(study), progress.get(study)) for study in followed}
