"""Fetch the artifacts of a study into a folder: whole files only, and what broke off is gone on with.

A file that has the size and the time of its artifact is there already. Another one is written to one temporary file and
renamed when it is whole. The folder's marker says of which study it is, and of which version of which artifact that
temporary file is a part: the next fetch asks for the rest.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx2

from safs.client.artifact_paths import MARKER, PART, check_artifacts, place
from safs.client.connection import Connection
from safs.client.errors import ServiceError, Unreachable
from safs.client.patience import Patience
from safs.client.records import Artifact
from safs.files import is_leftover, to_json, write_atomically
from spaces.errors import SafsError


def fetch_artifacts(
    connection: Connection,
    study: str,
    artifacts: Sequence[Artifact],
    folder: Path,
    told: Callable[[Artifact], None] = lambda artifact: None,
) -> None:
    """Fetch artifacts into a folder that is new, empty, or of a previous fetch of the same study.

    Args:
        study: its id.
        told: is called before each artifact that is fetched.

    Raises:
        SafsError: if the folder is another one, cannot be written, or a path leads out of it.
        ServiceError, Unreachable: if an artifact does not come.
    """
    check_artifacts(artifacts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _held(folder):
            fetch = _Fetch(connection, study, folder)
            for artifact in artifacts:
                target = place(folder, artifact.path)
                if not _is_there(target, artifact):
                    told(artifact)
                    fetch.artifact(artifact, target)
    except OSError as error:
        raise SafsError(f"{error.filename or folder} cannot be written: {error.strerror}.") from None


class _Fetch:
    """One fetch into a folder. `_path` and `_etag` say of what the temporary file is a part."""

    def __init__(self, connection: Connection, study: str, folder: Path) -> None:
        self._connection, self._study, self._folder = connection, study, folder
        self._part = folder / PART
        marker = _read_marker(folder)
        if marker.get("study") != study and any(not is_leftover(path) for path in folder.iterdir()):
            of = f"holds study {marker['study']}" if "study" in marker else "is not empty"
            raise SafsError(f"{folder} {of}; give a new folder by --out.")
        self._path, self._etag = marker.get("path"), marker.get("etag")
        if not marker:
            self._begin(None, None)

    def artifact(self, artifact: Artifact, target: Path) -> None:
        """Fetch one, as a whole."""
        patience = self._connection.patience()
        while True:
            try:
                self._attempt(artifact, patience)
                break
            except (ServiceError, Unreachable) as error:
                patience.after(error)
        if (modified := _timestamp(artifact)) is not None:
            os.utime(self._part, (modified, modified))
        self._part.replace(target)

    def _attempt(self, artifact: Artifact, patience: Patience) -> None:
        url = f"/v1/studies/{self._study}/artifacts/{quote(artifact.path)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(self._part, flags, 0o644), "wb") as file:
            there = self._there(artifact, file)
            headers = {"Range": f"bytes={there}-", "If-Range": self._etag} if there and self._etag else {}
            with self._connection.stream("GET", url, headers=headers) as response:
                gains = _goes_on(response, there)
                if not gains:
                    file.truncate(0)
                    there = 0
                    self._begin(artifact.path, _strong_etag(response))
                file.seek(there)
                for piece in response.iter_raw():
                    file.write(piece)
                    if gains:  # a server that only ever sends the beginning does not
                        patience.gained()
                    if file.tell() > artifact.size:
                        break  # no more of what may have no end
                self._check(artifact, file)
            file.flush()
            os.fsync(file.fileno())

    def _there(self, artifact: Artifact, file: BinaryIO) -> int:
        """Return how much of an artifact the temporary file has; nothing if it has all and was not found good."""
        size = os.fstat(file.fileno()).st_size
        return size if self._path == artifact.path and size < artifact.size else 0

    def _check(self, artifact: Artifact, file: BinaryIO) -> None:
        if file.tell() != artifact.size:
            self._begin(None, None)
            raise SafsError(f"{artifact.path} has not the {artifact.size:,} bytes that were announced; fetch it again.")

    def _begin(self, path: str | None, etag: str | None) -> None:
        self._path, self._etag = path, etag
        marker = {"schema": 1, "study": self._study, "path": path, "etag": etag}
        write_atomically(self._folder / MARKER, to_json(marker))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a folder from a second fetch, which would write into the same temporary file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SafsError(f"Another process fetches into {folder}; wait for it, or give a new folder by --out.") from None
    finally:
        os.close(descriptor)


def _read_marker(folder: Path) -> dict[str, str | None]:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        marker = None
    if not isinstance(marker, dict) or not all(isinstance(marker.get(key), str | None) for key in ("path", "etag")):
        raise SafsError(f"{folder / MARKER} is damaged; remove the folder, or give a new one by --out.")
    return marker


def _goes_on(response: httpx2.Response, there: int) -> bool:
    """Return whether an answer begins where the temporary file ends."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")


def _strong_etag(response: httpx2.Response) -> str | None:
    """Return the ETag of an answer, if it stands for the same bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def _is_there(target: Path, artifact: Artifact) -> bool:
    if target.is_symlink() or not target.is_file():
        return False
    found = target.stat()
    modified = _timestamp(artifact)
    return found.st_size == artifact.size and modified is not None and abs(found.st_mtime - modified) < 1e-3


def _timestamp(artifact: Artifact) -> float | None:
    try:
        return datetime.fromisoformat(artifact.modified).timestamp() if artifact.modified else None
    except (ValueError, TypeError):
        return None
