"""The files of a study, as they are read: its log, and the artifacts that it has made."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Artifact:
    """A file of a run directory: its path in there, its size in bytes, when it changed (seconds since 1970)."""

    path: str
    size: int
    modified: float


class File(abc.ABC):
    """A file as it was when it was looked up.

    Attributes:
        size: in bytes.
        modified: when it changed, in seconds since 1970.
        etag: another one for another content; quoted, as HTTP has it.
    """

    size: int
    modified: float
    etag: str

    @abc.abstractmethod
    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Give the bytes from one position to another, which is within the file, piece by piece.

        Raises:
            OSError: if they cannot be read.
        """

    def read(self, start: int, most: int) -> bytes:
        """Return the bytes from a position on, as many as there are, but no more than `most`."""
        return b"".join(self.chunks(min(start, self.size), min(start + most, self.size)))


class Files(abc.ABC):
    """The files of one study. Every method may raise OSError, as the storage may be away."""

    @abc.abstractmethod
    def artifacts(self) -> list[Artifact]:
        """Return the files of the run directory, but for hidden ones and links: a folder's, then its folders'."""

    @abc.abstractmethod
    def artifact(self, path: str) -> File | None:
        """Return an artifact, or None if there is none of that path: it must be one of those listed."""

    @abc.abstractmethod
    def log(self) -> File | None:
        """Return what the study has said, or None if it has said nothing yet."""
