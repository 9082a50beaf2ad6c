"""A temporary folder of this process, which a later one removes if this one is killed before it can."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

_PREFIX = "safs-temporary-"


def temporary_folder() -> Path:
    """Make a folder for what this process needs until its end, and remove those of processes that are gone.

    Its path is short, as that of a socket must be. Its owner holds a lock on it, which ends with the process.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is in use, or another user's, or another process removes it
            if left.lstat().st_uid == os.geteuid() and (lock := _lock(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(OSError):  # another process has just removed it, as it was not locked yet
            if _lock(folder) is not None and folder.exists():
                break
    # After multiprocessing has removed what it made there (at -100), and complains if that is gone.
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)
    return folder


def _lock(folder: Path) -> int | None:
    """Return what holds the lock of a folder, or None if another process has it."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened
