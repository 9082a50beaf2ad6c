"""The database's copy of a study's trials and progress, kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safs.service.storage.workplace import Carried
from safs.service.worker.ledger import Ledger
from safs.service.worker.mirror import Mirror

_LARGEST_BATCH = 500


class Copying:
    """Copies what is new in a journal, from where another worker stopped.

    Args:
        journal: the file, which may not be there yet.
        ledger: writes into the database.
    """

    def __init__(self, journal: Path, ledger: Ledger) -> None:
        self._journal = journal
        self._ledger = ledger
        self._mirror: Mirror | None = None
        self._told: tuple[Mapping[str, Any] | None, str | None] = (None, None)

    def catch_up(self, progress: Mapping[str, Any] | None, carried: Carried) -> bool:
        """Copy what is new, and how far the study is if it has told. Return whether the lease was held.

        Args:
            progress: how far it is.
            carried: what the storage holds: what is newer must wait.
        """
        mirror = self._mirror or Mirror(self._journal, self._ledger.trials())
        self._mirror = None  # if something fails now, nobody knows how much was stored: it is asked again
        mirror.read(carried.journal)
        total = mirror.stored + len(mirror.waiting)
        progress = None if progress is None else {**progress, "trials": total}
        while mirror.waiting or (progress, carried.files) != self._told:
            batch = mirror.waiting[:_LARGEST_BATCH]
            if not self._ledger.add(batch, progress, carried.files):
                return False
            mirror.has_stored(len(batch))
            self._told = (progress, carried.files)
        self._mirror = mirror
        return True
