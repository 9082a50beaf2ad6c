"""A temporary folder of this process, which a later one removes if this one is killed before it can."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import psutil

_CLOCK_S = 2
"""By so many whole seconds may two readings differ of when a process started."""


def temporary_folder() -> Path:
    """Make a folder for what this process needs until its end, and remove those of processes that are gone.

    Its path is short, as that of a socket must be.
    """
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]  # others may share the disk
    prefix = f"safs-{host}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if not _in_use(left.name.removeprefix(prefix)):
            shutil.rmtree(left, ignore_errors=True)
    began = int(psutil.Process().create_time())
    folder = Path(tempfile.gettempdir(), f"{prefix}{os.getpid()}-{began}")
    folder.mkdir(mode=0o700, exist_ok=True)
    # After multiprocessing has removed what it made there (at -100), and complains if that is gone.
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)
    return folder


def _in_use(name: str) -> bool:
    pid, _, began = name.partition("-")
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - int(began)) < _CLOCK_S)
    except psutil.NoSuchProcess:
        return False
    except (ValueError, psutil.Error):  # it is nobody's of ours, or cannot be told
        return True
