"""The files of a study that runs, as they all were at one moment.

Its process goes on writing meanwhile. It writes files aside and renames them, so that a second name for a file (a hard
link) keeps its content; only journals and logs grow in place, and of those a copy is made. What was seen first is
compared with what is seen afterwards: if nothing has come, gone or been replaced, and the journal has not grown, there
was a moment at which everything was just so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safs.service.storage.layout import JOURNAL, LOG, RUN
from safs.service.storage.local_files import walked

_TRIES = 20
_PAUSE_S = 0.05
_PIECE = 2**20


@dataclass(frozen=True)
class Seen:
    """By what a file is known to be the same: its inode, when it changed (in ns), its size in bytes."""

    inode: int
    changed: int
    size: int


def look(folder: Path) -> dict[str, Seen]:
    """Return the files of a study's folder that are kept, by their paths in it. Of the journal, its whole lines."""
    found = {}
    for path in (*walked(folder / RUN), folder / LOG):
        with contextlib.suppress(FileNotFoundError):  # it is gone meanwhile
            state = path.stat()
            name = path.relative_to(folder).as_posix()
            size = _whole_lines(path, state.st_size) if name == JOURNAL else state.st_size
            found[name] = Seen(state.st_ino, state.st_mtime_ns, size)
    return found


def grows(path: str) -> bool:
    """Return whether a file is appended to in place."""
    return path == JOURNAL or path.rpartition("/")[2] == LOG


def capture(
    folder: Path, aside: Path, offset: Callable[[str, Seen], int | None]
) -> tuple[dict[str, Seen], dict[str, Path]] | None:
    """Take what is new in a study's folder aside.

    Args:
        folder: of the study.
        aside: a folder on the same disk; made anew.
        offset: returns from which byte on a file is new, or None if nothing of it is.

    Returns:
        All files, and where the new content of those lies of which something is new; None if they changed too fast.
    """
    for _ in range(_TRIES):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        seen = look(folder)
        taken: dict[str, Path] = {}
        try:
            for path, file in seen.items():
                start = offset(path, file)
                if start is not None:
                    taken[path] = aside / str(len(taken))
                    _take(folder / path, taken[path], start, file.size, copied=grows(path))
        except FileNotFoundError:
            continue
        if _same(seen, look(folder)):
            return seen, taken
        time.sleep(_PAUSE_S)
    return None


def _same(before: dict[str, Seen], after: dict[str, Seen]) -> bool:
    if before.keys() != after.keys():
        return False
    return all(
        after[path].inode == seen.inode if grows(path) and path != JOURNAL else after[path] == seen
        for path, seen in before.items()
    )


def _take(path: Path, aside: Path, start: int, end: int, *, copied: bool) -> None:
    if not copied:
        try:
            os.link(path, aside)
            return
        except FileNotFoundError:
            raise
        except OSError:  # a disk without hard links
            pass
    with path.open("rb") as source, aside.open("xb") as copy:
        source.seek(start)
        while start < end and (piece := source.read(min(_PIECE, end - start))):
            copy.write(piece)
            start += len(piece)


def _whole_lines(path: Path, size: int) -> int:
    """Return how many of the first bytes of a file are lines that are complete."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - _PIECE)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
