"""A server on this machine: the application, what cleans up, and a worker beside it."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from safs.service.api.app import make_app
from safs.service.api.feed import Feed
from safs.service.cleaning import cleaning_up, sweep
from safs.service.guarded import GuardedProtocol
from safs.service.home import open_storage
from safs.service.settings import ServiceSettings
from safs.service.storage.base import Storage
from safs.service.storage.belonging import check_belongs
from safs.service.store import studies
from safs.service.store.database import Database
from safs.service.worker_beside import worker_beside

_KEEP_ALIVE_S = 75
"""How long a connection is kept that nobody uses: longer than proxies do, as who closes it may cut off a request."""


def prepared_storage(settings: ServiceSettings, folder: Path, database: Database) -> Storage:
    """Return the storage of a service that is to begin, without what killed processes left there.

    Raises:
        SafsError: if it cannot be used, or is another service's.
    """
    storage = open_storage(settings, folder)
    with database.reading() as connection:
        known = studies.every_id(connection)
    check_belongs(storage, database.service(), known, may_be_new=True)
    sweep(database, storage)
    return storage


def serve(
    settings: ServiceSettings,
    database: Database,
    storage: Storage,
    listening: socket.socket,
    worker: Sequence[str] | None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: of the service.
        database: its database.
        storage: as `prepared_storage` returned it.
        listening: the socket.
        worker: the arguments of `safs` that start a worker, or None for no worker.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # whoever sends a damaged form is told so
    app = make_app(settings, database, storage, runs_here=worker is not None)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )
    gc.collect()
    gc.freeze()  # modules stay: looking through them all again and again would hold up answers
    with cleaning_up(database, storage), worker_beside(worker):
        _Server(config, app.state.service.feed).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends the streams of those who follow studies when it is told to end: it would wait for them."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        asyncio.get_running_loop().call_soon_threadsafe(self._feed.close)
