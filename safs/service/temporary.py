"""A temporary folder of this process, which a later one removes if this one is killed before it can."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

from spaces.errors import SafsError

_PREFIX = "safs-temporary-"
_ATTEMPTS = 100


def temporary_folder() -> Path:
    """Make a folder for what this process needs until its end, and remove those of processes that are gone.

    Its path is short, as that of a socket must be. Its owner holds a lock on it, which ends with the process.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is another user's, no folder, or already gone; or nothing can be locked here
            if left.lstat().st_uid == os.geteuid() and (lock := _lock(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
    folder = _locked_folder()
    # After multiprocessing has removed what it made there (at -100), and complains if that is gone.
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)
    return folder


def _locked_folder() -> Path:
    """Make a folder and lock it, again if another process removes it before it is locked."""
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            if _lock(folder) is not None and folder.exists():
                return folder
        except FileNotFoundError:
            continue
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            place = tempfile.gettempdir()
            raise SafsError(
                f"Nothing can be locked in {place} ({error.strerror}); set TMPDIR to a local disk."
            ) from error
    raise SafsError(f"Other processes remove our folders from {tempfile.gettempdir()}; set TMPDIR to another folder.")


def _lock(folder: Path) -> int | None:
    """Return what holds the lock of a folder, or None if another process has it."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    except OSError:
        os.close(opened)
        raise
    return opened
