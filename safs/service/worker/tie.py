"""A process ends with the one that started it, however that ended: by a pipe, whose other end that one holds.

Nothing is ever written to it. It ends when its holder does, even by kill -9, on every system.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable


def when_input_ends(then: Callable[[], object]) -> None:
    """Call a function, in a thread, as soon as the standard input ends."""
    threading.Thread(target=_wait, args=(then,), name="safs: tie", daemon=True).start()


def tie_to_worker() -> None:
    """Kill this process, and its group if it leads one, as soon as its standard input ends."""
    when_input_ends(_kill)


def _wait(then: Callable[[], object]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    then()


def _kill() -> None:
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
