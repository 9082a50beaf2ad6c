"""Folders that submissions fill, below one local folder, and what killed processes leave of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safs.service.ids import new_id

_INCOMING = ".incoming-"
_REMOVED = ".removed-"


@contextmanager
def filling(root: Path) -> Iterator[Path]:
    """Give a new folder, which is removed afterwards if it is still there."""
    place = root / f"{_INCOMING}{new_id()}"
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def remove_at_once(root: Path, study_id: str) -> None:
    """Remove the folder of a study, at once for all who look; nothing happens if there is none."""
    gone = root / f"{_REMOVED}{study_id}"
    try:
        (root / study_id).rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def sweep(root: Path, older_than: float) -> None:
    """Remove what these functions left when a process was killed, if it has not changed since then."""
    for entry in list(root.iterdir()):
        if entry.name.startswith((_INCOMING, _REMOVED)) and is_older(entry, older_than):
            shutil.rmtree(entry, ignore_errors=True)


def is_older(entry: Path, than: float) -> bool:
    """Return whether a file or folder is there and has not changed since then."""
    try:
        return entry.stat().st_mtime < than
    except FileNotFoundError:
        return False
