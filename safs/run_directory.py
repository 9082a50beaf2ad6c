"""The run directory of a study: its config, its journal, and what came of it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from safs.config import Config
from safs.files import write_atomically
from safs.spec import TrialSpec
from spaces.errors import SafsError

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
"""What `write_atomically` leaves of a file when the process is killed."""


def open_run_directory(folder: Path, config: Config, *, resume: bool) -> None:
    """Make a run directory, or check that it may be continued.

    Raises:
        SafsError: if it is not empty and `resume` was not asked for, if it is no run directory, or if it is of
            another config (with the difference). Resuming where there is nothing yet begins.
    """
    recorded = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise SafsError(f"The run directory {folder} must be a folder, but is a file.")
    occupied = folder.is_dir() and any(not _LEFTOVER.fullmatch(path.name) for path in folder.iterdir())
    if occupied and not resume:
        raise SafsError(f"The run directory {folder} is not empty; continue it with --resume, or name another.")
    if occupied and not recorded.exists():
        raise SafsError(f"{folder} is no run directory: it has no config.yaml.")
    text = config.to_yaml()
    if not occupied:
        write_atomically(recorded, text)
    elif recorded.read_text(encoding="utf-8") != text:
        raise SafsError(
            f"The run directory {folder} is of another config, and is left as it is; the difference "
            f"(- there, + now):\n{_difference(recorded.read_text(encoding='utf-8'), text)}"
        )


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had not finished to write; only for who holds the lock of the journal."""
    for path in folder.rglob(".*.tmp"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink()


def _difference(recorded: str, now: str) -> str:
    lines = difflib.unified_diff(recorded.splitlines(), now.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def log_path(folder: Path, spec: TrialSpec) -> Path:
    """Return where the log of a trial lies."""
    return folder / "trials" / spec.id / "log.txt"
