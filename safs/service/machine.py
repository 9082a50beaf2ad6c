"""What this machine has."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory() -> int:
    """Return the bytes of memory of this machine, or of the container that this is, whose control group says so."""
    found = int(psutil.virtual_memory().total)
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found = min(found, int(limit.read_text(encoding="ascii")))
    return found
