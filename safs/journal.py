"""The journal: one JSON line per finished trial, on disk before anybody learns of it (invariant 4)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from safs.files import sync_folder
from spaces.errors import SafsError


class Journal:
    """An append-only file of records, held by one process at a time.

    A crash in the middle of an append leaves a torn last line, which is dropped at the next opening. A torn line
    anywhere else means that something else wrote to the file, and is refused.

    Args:
        path: the file; made if it does not exist.

    Raises:
        SafsError: if another process holds the journal, or a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        existed = path.exists()
        self._path = path
        self._file = path.open("a+b")
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SafsError(f"Another process is running this study: it holds {path}.") from error
            if not existed:
                sync_folder(path.parent)
            self.records: list[dict[str, Any]] = self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._file.close()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record and wait until it is on the disk.

        Raises:
            SafsError: if the disk is full or fails; the journal is as it was before.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._drop_partial(end)
            what = "The disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"Writing failed ({error})"
            raise SafsError(
                f"{what} at {self._path}; what was finished before is kept: free some space and resume."
            ) from error
        self.records.append(dict(record))

    def _drop_partial(self, end: int) -> None:
        """Cut off the part of a line that reached the file, past whatever Python still buffers."""
        descriptor = os.dup(self._file.fileno())
        try:
            os.ftruncate(descriptor, end)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _read(self) -> list[dict[str, Any]]:
        self._file.seek(0)
        content = self._file.read()
        lines = content.split(b"\n")
        torn = lines.pop()
        if torn:
            self._file.truncate(len(content) - len(torn))
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise SafsError(
                    f"Line {number} of {self._path} is damaged, and it is not the last; something else wrote to it. "
                    "Restore the file, or start anew in another run directory."
                ) from error
        return records
