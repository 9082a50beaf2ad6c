"""What a study uses: the memory of its processes, the disk space of its folder."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import psutil

_BLOCK = 512
"""Bytes of a block, as `stat` counts them everywhere."""


def memory(leader: int, matters: int) -> int:
    """Return how many bytes a process, its descendants and all of its session use together.

    Args:
        leader: the process, which leads a session.
        matters: from so many bytes on the number is exact; below, pages that several share may count several times.
    """
    processes = _processes(leader)
    resident = sum(_used(process, exactly=False) for process in processes)
    # What each has of the pages that it shares is known for the price of walking through all of them.
    return resident if resident <= matters else sum(_used(process, exactly=True) for process in processes)


def _processes(leader: int) -> list[psutil.Process]:
    """Return a process, its descendants, and those of its session whose parents have ended."""
    try:
        first = psutil.Process(leader)
        found = {process.pid: process for process in [first, *first.children(recursive=True)]}
    except psutil.NoSuchProcess:
        return []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if pid not in found and os.getsid(pid) == leader:
                found[pid] = psutil.Process(pid)
    return list(found.values())


def _used(process: psutil.Process, exactly: bool) -> int:
    try:
        if exactly and hasattr(full := process.memory_full_info(), "pss"):
            return int(full.pss)
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def disk(folder: Path) -> int:
    """Return how many bytes the files in a folder take, at any depth; those that come and go meanwhile may count."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                state = Path(place, name).lstat()
                if stat.S_ISREG(state.st_mode):
                    taken += state.st_blocks * _BLOCK
    return taken
