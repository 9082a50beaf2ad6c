"""Storage in a local folder, or one of a shared disk: studies run in it, and nothing is copied.

<root>/<study>/ as `layout` describes it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safs.files import sync_folder, write_atomically
from safs.service.ids import is_id
from safs.service.storage import scratch
from safs.service.storage.base import Incoming, Storage
from safs.service.storage.layout import OWNER
from safs.service.storage.local_files import LocalFiles
from safs.service.storage.workplace import Carried, GoneError, Workplace
from safs.service.store.leases import Lease


class LocalStorage(Storage):
    """Folders of studies below one local folder.

    Args:
        root: that folder; made if it does not exist.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, study_id: str) -> Path:
        """Return the folder of a study, whether it exists or not."""
        assert is_id(study_id), "names of studies are ours"
        return self._root / study_id

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """Give a folder to be filled."""
        with scratch.filling(self._root) as place:
            yield _LocalIncoming(place, self.folder)

    def files(self, study_id: str, files: str | None) -> LocalFiles:
        """Return the files of a study."""
        return LocalFiles(self.folder(study_id))

    def workplace(self, lease: Lease) -> Workplace:
        """Return the study's folder."""
        return _LocalWorkplace(self.folder(lease.study_id))

    def workplaces(self) -> Iterator[tuple[str, Path]]:
        """Give none: where studies run is where their files are kept."""
        return iter(())

    def remove(self, study_id: str) -> None:
        """Remove the folder of a study, at once for all who look."""
        scratch.remove_at_once(self._root, study_id)

    def sweep(self, known: set[str], older_than: float) -> None:
        """Remove what killed processes left."""
        scratch.sweep(self._root, older_than)
        for entry in list(self._root.iterdir()):
            if is_id(entry.name) and entry.name not in known and scratch.is_older(entry, older_than):
                shutil.rmtree(entry, ignore_errors=True)

    def studies(self) -> set[str]:
        """Return the names of the folders that are studies'."""
        return {entry.name for entry in self._root.iterdir() if is_id(entry.name)}

    def owner(self) -> str | None:
        """Return what the file says."""
        try:
            return (self._root / OWNER).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def set_owner(self, service: str) -> None:
        """Write the file."""
        write_atomically(self._root / OWNER, service)

    def probe(self) -> None:
        """Write and remove a file."""
        probe = self._root / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink(missing_ok=True)


class _LocalIncoming(Incoming):
    def __init__(self, folder: Path, kept: Callable[[str], Path]) -> None:
        self.folder = folder
        self._kept = kept

    def keep(self, study_id: str) -> None:
        kept = self._kept(study_id)
        self.folder.rename(kept)
        sync_folder(kept.parent)


class _LocalWorkplace(Workplace):
    """The study's folder itself: all is there as soon as it is written."""

    every = 1.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, ours: Callable[[], bool], end: Callable[[Path], None]) -> None:
        if not self.folder.is_dir():
            raise GoneError
        if ours():
            end(self.folder)

    def carry(self) -> Carried | None:
        return Carried()

    def confirm(self, carried: Carried) -> None:
        pass

    def close(self) -> None:
        pass
