"""The files of a study in a local folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from safs.service.storage.files import Artifact, File, Files
from safs.service.storage.layout import LOG, RUN

_CHUNK = 256 * 1024
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class LocalFiles(Files):
    """Reads a study's folder, whether it exists or not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def artifacts(self) -> list[Artifact]:
        """Return the files of the run directory."""
        run = self._folder / RUN
        found = []
        for path in walked(run):
            with contextlib.suppress(FileNotFoundError):  # it is gone meanwhile
                state = path.stat()
                found.append(Artifact(path.relative_to(run).as_posix(), state.st_size, state.st_mtime))
        return found

    def artifact(self, path: str) -> File | None:
        """Return an artifact: nothing outside of the run directory, nothing hidden, no link."""
        if "\0" in path or any(part == "" or part.startswith(".") for part in path.split("/")):
            return None
        run = (self._folder / RUN).resolve()
        wanted = run / path
        return _file(wanted) if wanted.resolve() == wanted else None

    def log(self) -> File | None:
        """Return the log."""
        return _file(self._folder / LOG)


def walked(folder: Path) -> Iterator[Path]:
    """Give the files in a folder, at any depth, but for hidden ones and links: a folder's, then its folders'."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and not path.is_symlink():
                yield path


class _LocalFile(File):
    def __init__(self, path: Path, state: os.stat_result) -> None:
        self._path = path
        self.size = state.st_size
        self.modified = state.st_mtime
        version = f"{state.st_ino} {state.st_mtime_ns} {state.st_size}"
        self.etag = f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"'

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(start)
            while start < end and (chunk := file.read(min(_CHUNK, end - start))):
                start += len(chunk)
                yield chunk


def _file(path: Path) -> File | None:
    try:
        return _LocalFile(path, path.stat()) if path.is_file() else None
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
