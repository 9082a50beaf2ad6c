"""The files of a study in a bucket, read as one of its snapshots has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from safs.service.storage.bucket import Bucket
from safs.service.storage.files import Artifact, File, Files
from safs.service.storage.layout import LOG, RUN
from safs.service.storage.snapshot import Entry, Snapshot

_RUN = f"{RUN}/"


class SnapshotFiles(Files):
    """Reads the files that a snapshot lists, and no others.

    Args:
        bucket: holds the study's objects.
        snapshot: of the study.
    """

    def __init__(self, bucket: Bucket, snapshot: Snapshot) -> None:
        self._bucket = bucket
        self._snapshot = snapshot

    def artifacts(self) -> list[Artifact]:
        """Return the files of the run directory."""
        listed = self._snapshot.files.items()
        found = [(path.removeprefix(_RUN), entry) for path, entry in listed if path.startswith(_RUN)]
        return [
            Artifact(path, entry.size, entry.modified) for path, entry in sorted(found, key=lambda one: _key(one[0]))
        ]

    def artifact(self, path: str) -> File | None:
        """Return an artifact."""
        return self._file(f"{_RUN}{path}")

    def log(self) -> File | None:
        """Return the log."""
        return self._file(LOG)

    def _file(self, path: str) -> File | None:
        entry = self._snapshot.files.get(path)
        return _SnapshotFile(self._bucket, entry) if entry is not None else None


def _key(path: str) -> list[tuple[bool, str]]:
    """Return by what paths are sorted so that a folder's files come first, then its folders."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


class _SnapshotFile(File):
    def __init__(self, bucket: Bucket, entry: Entry) -> None:
        self._bucket = bucket
        self._entry = entry
        self.size = entry.size
        self.modified = entry.modified
        version = " ".join(part.name for part in entry.parts)
        self.etag = f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"'

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        for part, first, last in self._entry.pieces(start, end):
            yield from self._bucket.chunks(part.name, first, last)
