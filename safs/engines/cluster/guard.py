"""Cleans up after a cluster on this machine when its owner is gone, however it ended. Run as a script, by its path.

    python guard.py FOLDER MARK

Waits for the end of its standard input, which the owner holds open, then kills what is left of the cluster's processes
(those with `MARK` in their environment) and removes the cluster's folder. Uses nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

_PATIENCE_S = 10.0
_PROCESSES = Path("/proc")


def left(mark: bytes) -> list[int]:
    """Return the processes of this user that have `mark` in their environment, other than this one."""
    if not _PROCESSES.is_dir():  # on macOS, where Ray's processes end by themselves a little later
        return []
    found = []
    for process in _PROCESSES.iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                if mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue  # it has ended, or is somebody else's
    return found


def main(folder: str, mark: str) -> None:
    """Wait for the owner's end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    until = time.monotonic() + _PATIENCE_S
    while (processes := left(mark.encode())) and time.monotonic() < until:
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
