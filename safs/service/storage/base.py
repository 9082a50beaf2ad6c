"""What every storage can do."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from safs.service.storage.files import Files
from safs.service.storage.workplace import Workplace
from safs.service.store.leases import Lease

_FRESH_S = 1.0


class Incoming(abc.ABC):
    """A local folder that a submission fills.

    Attributes:
        folder: as `layout` describes it.
    """

    folder: Path

    @abc.abstractmethod
    def keep(self, study_id: str) -> None:
        """Make it a study's; when this returns it is in the storage.

        Raises:
            OSError: if the storage cannot be written.
        """


class Storage(abc.ABC):
    """Keeps the files of studies."""

    @abc.abstractmethod
    def incoming(self) -> AbstractContextManager[Incoming]:
        """Give a folder to be filled, of which nothing is left afterwards unless it is kept."""

    @abc.abstractmethod
    def files(self, study_id: str, files: str | None) -> Files:
        """Return the files of a study, whether it exists or not.

        Args:
            study_id: which study.
            files: as the database names them.
        """

    @abc.abstractmethod
    def workplace(self, lease: Lease) -> Workplace:
        """Return where a worker runs the study that it has leased."""

    @abc.abstractmethod
    def workplaces(self) -> Iterator[tuple[str, Path]]:
        """Give the lease and the folder of each workplace that is on this machine only; some may be of lost workers."""

    @abc.abstractmethod
    def remove(self, study_id: str) -> None:
        """Remove all files of a study that the database does not know (any more), as far as that succeeds."""

    @abc.abstractmethod
    def sweep(self, known: set[str], older_than: float) -> None:
        """Remove what was left by processes that were killed in the middle of a submission or a removal.

        Args:
            known: the studies that there are.
            older_than: seconds since 1970; what is newer may be somebody's work.
        """

    @abc.abstractmethod
    def studies(self) -> set[str]:
        """Return the ids of the studies of which there are files.

        Raises:
            OSError: if the storage cannot be read.
        """

    @abc.abstractmethod
    def owner(self) -> str | None:
        """Return the id of the service whose studies it keeps, or None if that was not noted.

        Raises:
            OSError: if the storage cannot be read.
        """

    @abc.abstractmethod
    def set_owner(self, service: str) -> None:
        """Note it.

        Raises:
            OSError: if the storage cannot be written.
        """

    @abc.abstractmethod
    def probe(self) -> None:
        """Write and remove something.

        Raises:
            OSError: if that fails.
        """

    def writable(self) -> bool:
        """Return whether files could be written, now or a moment ago: anybody may ask, and as often as they like."""
        if time.monotonic() - self._probed > _FRESH_S:
            try:
                self.probe()
                self._writable = True
            except OSError:
                self._writable = False
            self._probed = time.monotonic()
        return self._writable

    _probed, _writable = -math.inf, False
