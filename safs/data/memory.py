"""The host's memory: how much of it is free, and whether images fit into that before room is made for them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from safs.out_of_memory import host_out_of_memory
from spaces.errors import SafsError

_REMEDY = "make them smaller by `data.image_size`, or use fewer"


def check_room(shape: Sequence[int], itemsize: int, *, beside: int = 0) -> None:
    """Look whether the host has room for images. What is not filled takes none, so the allocation would not tell.

    Args:
        shape: of the images, (n, c, h, w).
        itemsize: bytes a value.
        beside: bytes that are needed beside them while they are read.

    Raises:
        SafsError: if they take more than is free.
    """
    needed, free = math.prod(shape) * itemsize + beside, free_host_memory()
    if needed > free:
        n, *size = shape
        raise SafsError(
            f"Reading {n:,} images of {'×'.join(map(str, size))} takes {needed / 1e9:.1f} GB of the host's memory, "
            f"but only {free / 1e9:.1f} GB are free; {_REMEDY}."
        )


def no_memory(error: Exception) -> SafsError | None:
    """Return the error to show instead of one that says that the host gave no memory, or None if it is another."""
    if host_out_of_memory(error):
        return SafsError(
            f"The images take more of the host's memory than this process can have, with "
            f"{free_host_memory() / 1e9:.1f} GB free; {_REMEDY}."
        )
    return None


def free_host_memory() -> int:
    """Return the bytes that can still be allocated, on the machine and within the container's limit."""
    return min(_machine_memory(), _container_memory(Path("/sys/fs/cgroup")))


def _machine_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_memory(group: Path) -> int:
    """Return what a control group (version 2) leaves, or a very large number where it sets no limit.

    The files that it has read stay in memory and count as used, but give way.
    """
    try:
        limit, used, lines = (
            (group / f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current", "stat")
        )
        counts = dict(line.split() for line in lines.splitlines())
        return int(limit) - int(used) + int(counts["active_file"]) + int(counts["inactive_file"])
    except (OSError, ValueError, KeyError):  # no such file, or "max"
        return 2**63
