"""Which objects of a lease nobody needs any more."""

from __future__ import annotations

from safs.service.storage.snapshot import Snapshot, place_of


class Garbage:
    """Keeps account of what was written, and of the snapshots that somebody may still look at.

    Those are the one that the database is known to name, the one before it, as somebody may just have asked for its
    name, and all that came later: a transaction that seemed to fail may have been stored nevertheless.
    """

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._snapshots: list[tuple[str, Snapshot]] = []
        self._confirmed: str | None = None

    def written(self, name: str) -> None:
        """Note an object that was written, or taken over."""
        self._written.add(name)

    def add(self, files: str, snapshot: Snapshot) -> None:
        """Note that a snapshot was written, with all that it names."""
        self._snapshots.append((files, snapshot))
        self._written |= {place_of(files), *snapshot.objects()}

    def confirm(self, files: str | None) -> None:
        """Note that the database names a snapshot; may be called by any thread."""
        self._confirmed = files

    def taken(self, current: Snapshot) -> set[str]:
        """Return the objects that can be removed, and forget them.

        Args:
            current: the newest snapshot.
        """
        names = [files for files, _ in self._snapshots]
        if self._confirmed in names:
            del self._snapshots[: max(0, names.index(self._confirmed) - 1)]
        needed = current.objects().union(*(snapshot.objects() for _, snapshot in self._snapshots))
        unneeded = self._written - needed - {place_of(files) for files, _ in self._snapshots}
        self._written -= unneeded
        return unneeded
