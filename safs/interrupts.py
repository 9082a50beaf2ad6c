"""What Ctrl-C (SIGINT) and a scheduler's preemption (SIGTERM) do: both end a command with exit code 130."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130


def end(code: str | int | None) -> NoReturn:
    """End this process, even while a thread of it waits for a Ray cluster that has frozen: Ray would wait for that."""
    code = 0 if code is None else code
    if isinstance(code, int) and "ray" in sys.modules:
        from safs.engines.cluster.connection import LEAVING

        if any(thread.name == LEAVING for thread in threading.enumerate()):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def _quit(number: int, frame: FrameType | None) -> None:
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def quitting() -> Iterator[None]:
    """End the process at once: for what writes nothing, such as imports, some of which swallow an exception."""
    with _handling(_quit):
        yield


@contextmanager
def raising() -> Iterator[None]:
    """Raise KeyboardInterrupt: for what has something to clean up."""
    with _handling(_raise):
        yield


@contextmanager
def noting() -> Iterator[Callable[[], bool]]:
    """Give a function that returns whether either came: for what ends in its own time."""
    came: list[int] = []  # not an Event, which must not be set by a handler while the same thread waits for it
    with _handling(lambda number, frame: came.append(number)):
        yield lambda: bool(came)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, before in zip(numbers, previous, strict=True):
            signal.signal(number, before)
