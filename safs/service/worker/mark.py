"""Which process runs a study, noted in its folder, for the worker that takes over.

A worker that stands still for longer than its lease (a paused container, say) cannot end its study's process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil

MARK = ".process.json"
_CLOCK_S = 1.0
"""By so much may two readings differ of when a process started."""
_PATIENCE_S = 5.0


def leave_mark(folder: Path, pid: int) -> None:
    """Note that the process `pid` of this machine runs the study of a folder."""
    with contextlib.suppress(psutil.NoSuchProcess):
        mark = {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}
        (folder / MARK).write_text(json.dumps(mark), encoding="utf-8")  # a torn one says nothing


def remove_mark(folder: Path, pid: int) -> None:
    """Remove the note of a process that has ended; not that of another, which has taken over."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        mark = json.loads((folder / MARK).read_bytes())
        if (mark["host"], mark["pid"]) == (socket.gethostname(), pid):
            (folder / MARK).unlink()


def kill_leftover(folder: Path) -> None:
    """Kill the process that is noted, with its group, if it is one of this machine and still there."""
    process = _noted(folder)
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + _PATIENCE_S
    while _runs(process) and time.monotonic() < until:
        time.sleep(0.02)


def _noted(folder: Path) -> psutil.Process | None:
    """Return the process that is noted, if it surely is the one: numbers of processes come again."""
    try:
        mark = json.loads((folder / MARK).read_bytes())
        if mark["host"] != socket.gethostname() or mark["pid"] <= 1:
            return None
        process = psutil.Process(mark["pid"])
        same = abs(process.create_time() - mark["started"]) < _CLOCK_S and Path(process.cwd()) == folder.resolve()
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if same else None


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # whose parent stands still, and does not fetch it
    except psutil.NoSuchProcess:
        return False
