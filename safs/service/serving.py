"""A server on this machine: the application, and a worker beside it that is started again if it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from safs.client.address import is_loopback
from safs.service.api.app import make_app
from safs.service.api.feed import Feed
from safs.service.guarded import GuardedProtocol
from safs.service.home import open_storage
from safs.service.scopes import Scope
from safs.service.settings import ServiceSettings
from safs.service.storage.base import Storage
from safs.service.storage.belonging import check_belongs
from safs.service.store import leases, studies, tokens
from safs.service.store.database import Database
from spaces.errors import SafsError

_log = logging.getLogger(__name__)
FIRST_TOKEN = "first"
_STALE_S = 86_400.0
"""After so long a folder that nobody knows is nobody's work any more."""
_GRACE_S = 45.0
"""How long the worker may take to give its studies back."""
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_RAN_WELL_S = 60.0
"""After so long a worker that ends has not ended at once again and again."""
_TAKE_BACK_S = 5.0
_SWEEP_S = 3600.0
_KEEP_ALIVE_S = 75
"""How long a connection is kept that nobody uses: longer than proxies do, as who closes it may cut off a request."""


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


def prepared_storage(settings: ServiceSettings, folder: Path, database: Database) -> Storage:
    """Return the storage of a service that is to begin, without what killed processes left there.

    Raises:
        SafsError: if it cannot be used, or is another service's.
    """
    storage = open_storage(settings, folder)
    with database.reading() as connection:
        known = studies.every_id(connection)
    check_belongs(storage, database.service(), known, may_be_new=True)
    _sweep(database, storage)
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
    with _cleaning_up(database, storage), _kept_running(worker):
        _Server(config, app.state.service.feed).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends the streams of those who follow studies when it is told to end: it would wait for them."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        asyncio.get_running_loop().call_soon_threadsafe(self._feed.close)


def _names() -> Iterator[str]:
    yield FIRST_TOKEN
    number = 2
    while True:
        yield f"{FIRST_TOKEN}-{number}"
        number += 1


@contextmanager
def _cleaning_up(database: Database, storage: Storage) -> Iterator[None]:
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
    start("what is left", _SWEEP_S, lambda: _sweep(database, storage))
    try:
        yield
    finally:
        ending.set()
        lost.join()  # the other may be in the middle of a slow bucket, and may be killed there


def _sweep(database: Database, storage: Storage) -> None:
    with database.reading() as connection:
        known, now = studies.every_id(connection), database.now(connection)
    storage.sweep(known, now - _STALE_S)


@contextmanager
def _kept_running(worker: Sequence[str] | None) -> Iterator[None]:
    """Keep a worker running beside, and end it at the end; it ends by itself if this process is killed."""
    if worker is None:
        yield
        return
    ending, environment = threading.Event(), dict(os.environ)
    keeper = threading.Thread(target=_keep, args=(worker, environment, ending), name="safs: worker's keeper")
    keeper.start()
    try:
        yield
    finally:
        ending.set()
        keeper.join()


def _keep(worker: Sequence[str], environment: Mapping[str, str], ending: threading.Event) -> None:
    pause = _PAUSE_S
    while not ending.is_set():
        began = time.monotonic()
        try:
            _run(worker, environment, ending)
        except OSError as error:
            _log.error("The worker cannot be started: %s", error.strerror or error)
        if time.monotonic() - began > _RAN_WELL_S:
            pause = _PAUSE_S
        if ending.wait(pause):
            return
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _run(worker: Sequence[str], environment: Mapping[str, str], ending: threading.Event) -> None:
    """Run a worker until it ends, or is to end."""
    command = [sys.executable, "-m", "safs", *worker]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment)
    while process.poll() is None and not ending.wait(0.2):
        pass
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stdin is not None, "it is a pipe"
    process.stdin.close()
