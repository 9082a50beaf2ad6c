"""Where a worker runs a study whose files are kept elsewhere: a local folder for each lease."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from safs.service.storage.bucket import AwayError, Bucket
from safs.service.storage.capture import Seen, capture, grows, look
from safs.service.storage.garbage import Garbage
from safs.service.storage.layout import JOURNAL, LOG
from safs.service.storage.snapshot import Entry, Part, Snapshot, place_of
from safs.service.storage.workplace import Carried, GoneError, Workplace
from safs.service.store.leases import Lease

SUBMITTED = "submitted"
_MOST_PARTS = 50
"""Of so many objects may a file consist before it is written anew, as one."""


class RemoteWorkplace(Workplace):
    """The folder `<place>/<lease>`: no two leases ever write to the same one.

    Args:
        bucket: of the study.
        place: a local folder, of the study.
        lease: of the study.
        every: seconds from one time to the next that its files are to be taken to the bucket.
    """

    def __init__(self, bucket: Bucket, place: Path, lease: Lease, every: float) -> None:
        self.every = every
        self.folder = place / lease.name
        self._aside = place / f".{lease.name}"
        self._bucket = bucket
        self._lease = lease
        self._number = 0
        self._carried: Carried | None = None
        self._snapshot = Snapshot()
        self._known: dict[str, tuple[Seen, Entry]] = {}
        self._garbage = Garbage()
        self._closed = threading.Event()

    def open(self, ours: Callable[[], bool], end: Callable[[Path], None]) -> None:
        """Fetch the study's files into a clean folder; remove what other leases left, here and in the bucket."""
        # They are listed before the lease is found to be held: so nothing that is listed is of a later one.
        earlier = [folder for folder in self.folder.parent.glob("*") if folder not in (self.folder, self._aside)]
        objects = self._bucket.sizes()
        if not ours():
            self._closed.set()
        self._check()
        for folder in earlier:
            end(folder)
            shutil.rmtree(folder, ignore_errors=True)
        self._fetch(objects)
        needed = {*self._snapshot.objects(), *([place_of(self._lease.files)] if self._lease.files else [])}
        self._bucket.remove(name for name in objects if name not in needed and not name.startswith(f"{SUBMITTED}/"))

    def carry(self) -> Carried | None:
        """Write what is new as objects, and then the snapshot that names them."""
        self._check()
        try:
            return self._carry()
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)
            if self._closed.is_set():  # in the middle of it, which may have made folders anew
                self.close()

    def confirm(self, carried: Carried) -> None:
        """Note that the database knows of that."""
        self._garbage.confirm(carried.files)

    def close(self) -> None:
        """Remove the folder."""
        self._closed.set()
        for folder in (self.folder, self._aside):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another lease's may be there
            self.folder.parent.rmdir()

    def _carry(self) -> Carried | None:
        self._bucket.remove(self._garbage.taken(self._now()))
        captured = capture(self.folder, self._aside, self._offset)
        if captured is None:
            return None
        seen, new = captured
        self._number += 1
        for path, file in new.items():
            self._known[path] = (seen[path], self._put(path, file, seen[path]))
        self._known = {path: self._known[path] for path in seen}
        snapshot = self._now()
        if self._carried is None or snapshot != self._snapshot:
            self._carried = self._name(snapshot)
        return self._carried

    def _now(self) -> Snapshot:
        """Return what the bucket holds of all files, each as it was written last."""
        return Snapshot({path: entry for path, (_, entry) in self._known.items()})

    def _check(self) -> None:
        if self._closed.is_set():
            raise AwayError("The lease of this study is over.")

    def _fetch(self, objects: dict[str, int]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        submitted = {name: size for name, size in objects.items() if name.startswith(f"{SUBMITTED}/")}
        try:
            if not submitted:
                raise FileNotFoundError
            for name, size in submitted.items():
                self._get(name.removeprefix(f"{SUBMITTED}/"), [Part(name, size)])
            if self._lease.files is not None:
                self._fetch_snapshot(self._lease.files)
        except (FileNotFoundError, ValueError):
            name = f"{self._lease.name}/.probe"
            self._bucket.write(name, b"x")  # or else it is the storage that is gone
            self._bucket.remove([name])
            raise GoneError from None

    def _fetch_snapshot(self, files: str) -> None:
        self._snapshot = Snapshot.from_json(self._bucket.whole(place_of(files)))
        for path, entry in self._snapshot.files.items():
            self._get(path, entry.parts)
        self._known = {path: (seen, self._snapshot.files[path]) for path, seen in look(self.folder).items()}
        self._carried = Carried(files, _journal(self._snapshot))
        self._garbage.add(files, self._snapshot)
        self._garbage.confirm(files)

    def _get(self, path: str, parts: Iterable[Part]) -> None:
        target = self.folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = target.open("wb")
        except FileNotFoundError as error:  # which says nothing of the bucket
            raise AwayError(f"{target} is gone.") from error
        with file:
            for part in parts:
                for piece in self._bucket.chunks(part.name, 0, part.size):
                    self._check()
                    file.write(piece)

    def _offset(self, path: str, seen: Seen) -> int | None:
        """Return from where on a file is not in the bucket yet; None if all of it is."""
        if path not in self._known:
            return 0
        before, entry = self._known[path]
        if before == seen:
            return None
        if path not in (JOURNAL, LOG) or before.inode != seen.inode or seen.size < entry.size:
            return 0
        if seen.size == entry.size:
            return None
        return entry.size if len(entry.parts) < _MOST_PARTS else 0

    def _put(self, path: str, new: Path, seen: Seen) -> Entry:
        start = self._offset(path, seen) or 0
        kept = self._known[path][1].parts if start else ()
        name = f"{self._lease.name}/{self._number}/{path}"
        size = self._bucket.put(new, name, self._check)
        self._garbage.written(name)
        assert not grows(path) or start + size <= seen.size, "of what grows, a copy was made"
        return Entry(seen.changed / 1e9, (*kept, Part(name, size)))

    def _name(self, snapshot: Snapshot) -> Carried:
        self._check()
        files = f"{self._lease.name}/{self._number}"
        self._bucket.write(place_of(files), snapshot.to_json())
        self._snapshot = snapshot
        self._garbage.add(files, snapshot)
        return Carried(files, _journal(snapshot))


def _journal(snapshot: Snapshot) -> int:
    """Return how many bytes of the journal a snapshot has."""
    entry = snapshot.files.get(JOURNAL)
    return entry.size if entry is not None else 0
