"""What a study may take, and whether it takes more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from safs.report.text import duration
from safs.service.settings import Limits
from safs.service.states import Reason, State
from safs.service.worker import usage
from safs.service.worker.outcome import Outcome

_MEMORY_EVERY_S = 1.0
_DISK_EVERY_S = 5.0


class Watch:
    """Measures a study that runs, now and then, and says when it exceeds a limit.

    Args:
        limits: what it may take.
        pid: its process, which leads a session.
        folder: where its files are.
        clock: returns the time in seconds.
    """

    def __init__(self, limits: Limits, pid: int, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._pid = pid
        self._folder = folder
        self._clock = clock
        self._began = clock()
        self._next_memory = self._next_disk = self._began

    def exceeded(self) -> Outcome | None:
        """Return what becomes of the study if it takes more than it may; else None."""
        now = self._clock()
        if self._limits.study_seconds is not None and now - self._began > self._limits.study_seconds:
            limit = duration(self._limits.study_seconds)
            return _failed(Reason.TIMEOUT, f"It ran for {duration(now - self._began)}, and may run for {limit}.")
        if self._limits.study_memory is not None and now >= self._next_memory:
            self._next_memory = now + _MEMORY_EVERY_S
            used = usage.memory(self._pid, self._limits.study_memory)
            if used > self._limits.study_memory:
                limit = _size(self._limits.study_memory)
                return _failed(Reason.OOM, f"Its processes used {_size(used)} of memory, and may use {limit}.")
        if now >= self._next_disk:
            self._next_disk = now + _DISK_EVERY_S
            used = usage.disk(self._folder)
            if used > self._limits.study_disk:
                limit = _size(self._limits.study_disk)
                return _failed(Reason.DISK, f"Its files take {_size(used)}, and may take {limit}.")
        return None


def _failed(reason: Reason, message: str) -> Outcome:
    return Outcome(State.FAILED, reason, f"{message} Finished trials are kept.")


def _size(count: float) -> str:
    """Return for example "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
