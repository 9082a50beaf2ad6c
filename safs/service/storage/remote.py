"""Storage in whatever fsspec can write to, such as a bucket of S3, for workers that share no disk.

<root>/<study>/submitted/config.yaml, input/...   what was submitted
               <lease>/<number>.json              a snapshot of the study's files (see `snapshot`), when its worker, who
                                                  had that lease, took them here for the number-th time
               <lease>/<number>/run/..., log.txt  what was new in them

The database names the snapshot that counts: `<lease>/<number>`. It is set under the lease, together with the trials
that are in that snapshot's journal. So a worker that lost its lease and does not know it yet may write what it likes;
nobody will ever look at it.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from safs.service.ids import is_id, made_at
from safs.service.storage import scratch
from safs.service.storage.base import Incoming, Storage
from safs.service.storage.bucket import AwayError, Bucket
from safs.service.storage.layout import CONFIG, OWNER
from safs.service.storage.local_files import walked
from safs.service.storage.remote_workplace import SUBMITTED, RemoteWorkplace
from safs.service.storage.snapshot import Snapshot, place_of
from safs.service.storage.snapshot_files import SnapshotFiles
from safs.service.storage.workplace import Workplace
from safs.service.store.leases import Lease

_REMEMBERED = 64
"""Snapshots that are kept in memory: they never change, and followers ask again and again."""


class RemoteStorage(Storage):
    """Objects of studies in a bucket.

    Args:
        bucket: of all studies.
        home: a local folder for what is on its way.
        carry_seconds: how often a workplace's files are to be taken here.
    """

    def __init__(self, bucket: Bucket, home: Path, carry_seconds: float) -> None:
        self._bucket = bucket
        self._carry_seconds = carry_seconds
        self._incoming = home / "incoming"
        self._work = home / "work"
        for folder in (self._incoming, self._work):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._snapshots: OrderedDict[tuple[str, str], Snapshot] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """Give a folder to be filled."""
        with scratch.filling(self._incoming) as place:
            yield _RemoteIncoming(place, lambda study_id: self._of(study_id).below(SUBMITTED))

    def files(self, study_id: str, files: str | None) -> SnapshotFiles:
        """Return the files of a study."""
        snapshot = self._snapshot(study_id, files) if files is not None else Snapshot()
        return SnapshotFiles(self._of(study_id), snapshot)

    def workplace(self, lease: Lease) -> Workplace:
        """Return a folder of this lease's own."""
        return RemoteWorkplace(self._of(lease.study_id), self._work / lease.study_id, lease, self._carry_seconds)

    def workplaces(self) -> Iterator[tuple[str, Path]]:
        """Give what workers on this machine have, or had."""
        for study in list(self._work.iterdir()):
            with suppress(FileNotFoundError):  # another worker has removed it meanwhile
                for folder in list(study.iterdir()):
                    yield folder.name.removeprefix("."), folder

    def remove(self, study_id: str) -> None:
        """Remove all objects of a study; what remains is for a sweep."""
        with suppress(OSError):
            self._of(study_id).clear()

    def sweep(self, known: set[str], older_than: float) -> None:
        """Remove what killed processes left; a study is as old as its name says."""
        scratch.sweep(self._incoming, older_than)
        with suppress(OSError):
            for name in self._bucket.top():
                if is_id(name) and name not in known and made_at(name) < older_than:
                    self._of(name).clear()

    def studies(self) -> set[str]:
        """Return the first parts of names that are studies'."""
        return set(filter(is_id, self._bucket.top()))

    def owner(self) -> str | None:
        """Return what the object says."""
        try:
            return self._bucket.whole(OWNER).decode()
        except FileNotFoundError:
            return None

    def set_owner(self, service: str) -> None:
        """Write the object."""
        self._bucket.write(OWNER, service.encode())

    def probe(self) -> None:
        """Write and remove an object."""
        name = f".probe-{token_hex(8)}"
        self._bucket.write(name, b"x")
        self._bucket.remove([name])

    def _of(self, study_id: str) -> Bucket:
        assert is_id(study_id), "names of studies are ours"
        return self._bucket.below(study_id)

    def _snapshot(self, study_id: str, files: str) -> Snapshot:
        key = (study_id, files)
        with self._lock:
            if key in self._snapshots:
                self._snapshots.move_to_end(key)
                return self._snapshots[key]
        try:
            snapshot = Snapshot.from_json(self._of(study_id).whole(place_of(files)))
        except ValueError as error:
            raise AwayError(f"The snapshot {files} of {study_id} is damaged: {error}") from error
        with self._lock:
            self._snapshots[key] = snapshot
            if len(self._snapshots) > _REMEMBERED:
                self._snapshots.popitem(last=False)
        return snapshot


class _RemoteIncoming(Incoming):
    def __init__(self, folder: Path, kept: Callable[[str], Bucket]) -> None:
        self.folder = folder
        self._kept = kept

    def keep(self, study_id: str) -> None:
        bucket = self._kept(study_id)
        names = [path.relative_to(self.folder).as_posix() for path in walked(self.folder)]
        for name in sorted(names, key=lambda name: name == CONFIG):  # last: where it is, all is
            bucket.put(self.folder / name, name)
        shutil.rmtree(self.folder, ignore_errors=True)
