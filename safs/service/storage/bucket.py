"""Objects in an fsspec file system, below one place of it: written once as a whole, read in parts, listed, removed."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from spaces.errors import brief

_PIECE = 8 * 2**20
"""Bytes that are held in memory at a time. Object stores want at least 5 MiB for each part of an upload."""


class AwayError(OSError):
    """The storage could not be used, for a reason that its package does not raise as an OSError."""


def _go_on() -> None:
    """Let go on."""


class Bucket:
    """What lies below one place. Names are relative to it, with slashes.

    Whatever goes wrong is an OSError, FileNotFoundError if there is no such object: the packages that fsspec uses have
    exceptions of their own.

    Args:
        system: an fsspec file system that caches no listings: other processes write as well.
        root: the place, as that file system names it.
    """

    def __init__(self, system: Any, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def below(self, prefix: str) -> Bucket:
        """Return what lies further below."""
        return Bucket(self._system, self._path(prefix))

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with _as_os_errors():
            self._made(name, lambda path: self._system.pipe_file(path, content))

    def put(self, file: Path, name: str, check: Callable[[], None] = _go_on) -> int:
        """Write an object with the content of a local file, and return how many bytes it has.

        Args:
            file: which nobody writes to any more.
            name: of the object.
            check: called now and then; what it raises ends the upload, of which nothing is left.
        """
        check()
        with file.open("rb") as source:
            start = source.read(_PIECE)
            if len(start) < _PIECE:
                self.write(name, start)
                return len(start)
            source.seek(0)
            with _as_os_errors(), self._writing(name) as sink:
                while piece := source.read(_PIECE):
                    check()
                    sink.write(piece)
                return source.tell()

    def read(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of an object from one position to another."""
        if start >= end:
            return b""
        with _as_os_errors():
            content: bytes = self._system.cat_file(self._path(name), start=start, end=end)
        return content

    def chunks(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Give the bytes of an object from one position to another, piece by piece.

        Raises:
            OSError: if there are fewer.
        """
        while start < end:
            piece = self.read(name, start, min(end, start + _PIECE))
            if not piece:
                raise AwayError(f"{name} ends too early.")
            start += len(piece)
            yield piece

    def whole(self, name: str) -> bytes:
        """Return an object, which is small."""
        with _as_os_errors():
            content: bytes = self._system.cat_file(self._path(name))
        return content

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the sizes of all objects whose names begin with a prefix, which ends in a slash."""
        with _as_os_errors():
            try:
                found = self._system.find(self._path(prefix), detail=True)
            except FileNotFoundError:
                return {}
        return {self._name(path): int(info["size"] or 0) for path, info in found.items()}

    def top(self) -> list[str]:
        """Return the first parts of all names."""
        with _as_os_errors():
            try:
                return [self._name(path) for path in self._system.ls(self._root, detail=False)]
            except FileNotFoundError:
                return []

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, as far as they are there."""
        with _as_os_errors():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._system.rm_file(self._path(name))

    def clear(self) -> None:
        """Remove everything."""
        with _as_os_errors(), contextlib.suppress(FileNotFoundError):
            self._system.rm(self._root, recursive=True)

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        """Give an object to write to, which is not there before the end."""
        sink = self._made(name, lambda path: self._system.open(path, "wb", block_size=_PIECE))
        try:
            yield sink
        except BaseException:
            _discard(sink)
            raise
        sink.close()

    def _made(self, name: str, write: Callable[[str], Any]) -> Any:
        path = self._path(name)
        try:
            return write(path)
        except FileNotFoundError:
            if self._system.async_impl:  # object stores, which know no folders: it is the bucket that is missing
                raise
            self._system.makedirs(posixpath.dirname(path), exist_ok=True)
            return write(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _name(self, path: str) -> str:
        return path.rstrip("/").removeprefix(f"{self._root}/")


def _discard(sink: Any) -> None:
    """Let go of an upload; closing it, as the garbage collector would, makes an object of what there is."""
    with contextlib.suppress(Exception):
        sink.discard()
    with contextlib.suppress(Exception):
        sink.closed = True


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise AwayError(f"{type(error).__name__}: {brief(error)}") from error
