"""Where a worker runs a study, and how what it makes there reaches the storage."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import SafsError


class GoneError(SafsError):
    """The files of a study are not in the storage any more."""

    def __init__(self) -> None:
        super().__init__("Its files are gone; submit it again.")


@dataclass(frozen=True)
class Carried:
    """What the storage holds of a study that runs.

    Attributes:
        files: the name by which the database is to find it, or None if it needs no name.
        journal: how many bytes of the journal; None for all that there are, at any time. The database must know of no
            trial that lies behind: another worker would number them otherwise.
    """

    files: str | None = None
    journal: int | None = None


class Workplace(abc.ABC):
    """A folder in which a study runs under one lease.

    `open` and `carry` may take long and are called in a thread, one at a time; they raise OSError while the storage is
    away. The others may be called by another thread meanwhile.

    Attributes:
        folder: as `layout` describes it, once it is open.
        every: after so many seconds its files are taken to the storage again.
    """

    folder: Path
    every: float

    @abc.abstractmethod
    def open(self, ours: Callable[[], bool], end: Callable[[Path], None]) -> None:
        """Get the study's files ready, as the last worker left them, and remove what nobody needs any more.

        Args:
            ours: asks whether the lease is still held; nothing that others may need is removed without.
            end: ends the process that may still run in the workplace of an earlier lease on this machine.

        Raises:
            GoneError: if there are none.
        """

    @abc.abstractmethod
    def carry(self) -> Carried | None:
        """Take what is new to the storage. Return what it holds now; None if the files changed too fast to say."""

    @abc.abstractmethod
    def confirm(self, carried: Carried) -> None:
        """Note that the database knows of that now."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop what is under way, and remove what is only for this lease on this machine."""
