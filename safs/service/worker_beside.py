"""A worker beside the server, that is started again if it ends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_log = logging.getLogger(__name__)
_GRACE_S = 45.0
"""How long the worker may take to give its studies back."""
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_RAN_WELL_S = 60.0
"""After so long a worker that ends has not ended at once again and again."""


@contextmanager
def worker_beside(worker: Sequence[str] | None) -> Iterator[None]:
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
