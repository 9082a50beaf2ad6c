"""The journal: one JSON line per finished trial, on disk before anybody learns of it (invariant 4)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from safs.files import sync_folder
from safs.storage import StorageError
from spaces.errors import SafsError


class HeldError(SafsError):
    """Another process holds the journal."""


class Journal:
    """An append-only file of records, held by one process at a time.

    A crash in the middle of an append leaves a torn last line, which is dropped at the next opening. A torn line
    anywhere else means that something else wrote to the file, and is refused.

    Args:
        path: the file; made if it does not exist.

    Raises:
        HeldError: if another process holds the journal.
        SafsError: if a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        existed = path.exists()
        self.path = path
        # Unbuffered: what an append could not write must not be written later, when the file is closed.
        self._file = path.open("a+b", buffering=0)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HeldError(
                    f"Another process is running this study: it holds {path}; wait for its end, or stop it."
                ) from error
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
            StorageError: if the disk is full or fails; the journal is as it was before.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            unwritten = memoryview(line)
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a torn last line is dropped at the next opening
                self._file.truncate(end)
            raise StorageError(self.path, error) from error
        self.records.append(dict(record))

    def _read(self) -> list[dict[str, Any]]:
        self._file.seek(0)
        content = self._file.read()
        lines = content.split(b"\n")
        torn = lines.pop()
        if torn:
            self._file.truncate(len(content) - len(torn))
        records = []
        for number, line in enumerate(lines, start=1):
            record = _parse(line)
            if record is None:
                raise SafsError(
                    f"Line {number} of {self.path} is damaged, and it is not a torn last one: something else wrote "
                    "to it. Restore the file, or start anew in another run directory."
                )
            records.append(record)
        return records


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, or None if it holds none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None
