"""A submission's form, read as it comes: files go to the disk piece by piece, and never into memory as a whole."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from safs.files import sync_folder
from safs.service.api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

TEXTS = {"config": 65_536, "name": 400, "priority": 20}
"""The parts that are read into memory, and how many bytes each may have."""
FILES = ("checkpoint", "mask")
STALLED_S = 60.0
"""After so long without a piece an upload is given up."""
_MOST_HEADER = 8_192
_OVERHEAD = 1_000_000
"""Bytes that a form may have beside its parts."""


@dataclass(frozen=True)
class Upload:
    """A file that was received: its name in the folder, its SHA-256, its size in bytes."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Form:
    """What was received: texts and files by the names of their parts."""

    texts: dict[str, str]
    files: dict[str, Upload]


async def receive(request: Request, folder: Path, most_bytes: int) -> Form:
    """Read a form.

    Args:
        request: whose body is a form.
        folder: where its files go, under names of ours.
        most_bytes: how large each file may be.

    Raises:
        Problem: 400 for a damaged or unknown part, 408 if nothing comes any more, 413 for one that is too large, 415
            for another kind of body.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "The body must be multipart/form-data with a boundary.")
    whole = len(FILES) * most_bytes + sum(TEXTS.values()) + _OVERHEAD
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > whole:
        raise _too_large("The body", whole)
    reader = _Reader(folder, most_bytes)
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())
        received = 0  # what follows writes to the disk, which may take its time: others are answered meanwhile
        async for chunk in _chunks(request):
            received += len(chunk)
            if received > whole:
                raise _too_large("The body", whole)
            await asyncio.to_thread(parser.write, chunk)
        parser.finalize()
        await asyncio.to_thread(sync_folder, folder)
        return reader.form()
    except FormParserError:
        raise Problem(400, "The form is damaged: it does not keep to multipart/form-data.") from None
    finally:
        reader.close()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    pieces = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(STALLED_S):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except ClientDisconnect:
            raise Problem(400, "The upload was cut off.") from None
        except TimeoutError:
            late = f"Nothing of the upload has come for {STALLED_S:g} seconds; send it again."
            raise Problem(408, late, headers={"Connection": "close"}) from None
        yield piece


class _Reader:
    """Puts the parts of a form where they belong."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._texts: dict[str, bytearray] = {}
        self._files: dict[str, Upload] = {}
        self._name = ""
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._size = 0
        self._ended = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._grow(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": lambda data, start, end: self._write(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def form(self) -> Form:
        if not self._ended:
            raise Problem(400, "The form is damaged: it ends in the middle.")
        texts = {}
        for name, content in self._texts.items():
            try:
                texts[name] = content.decode()
            except UnicodeDecodeError:
                raise Problem(400, f"The part `{name}` must be UTF-8.", field=name) from None
        return Form(texts, dict(self._files))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers.clear()
        self._header.clear()
        self._value.clear()

    def _grow(self, part: bytearray, data: bytes) -> None:
        part += data
        if len(part) > _MOST_HEADER:
            raise Problem(400, "The form is damaged: a header of a part is too long.")

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if name in self._texts or name in self._files:
            raise Problem(400, f"The part `{name}` stands there twice.", field=name)
        self._name = name
        if name in TEXTS:
            self._texts[name] = bytearray()
        elif name in FILES:
            self._file = (self._folder / f"{name}.part").open("wb")
            self._digest, self._size = hashlib.sha256(), 0
        else:
            known = ", ".join([*TEXTS, *FILES])
            raise Problem(400, f"The form has a part {name[:50]!a}, which nothing reads; there are: {known}.")

    def _write(self, data: bytes) -> None:
        if self._file is None:
            text = self._texts[self._name]
            text += data
            if len(text) > TEXTS[self._name]:
                raise _too_large(f"The part `{self._name}`", TEXTS[self._name], field=self._name)
            return
        self._size += len(data)
        if self._size > self._most_bytes:
            raise _too_large(f"The part `{self._name}`", self._most_bytes, field=self._name)
        self._digest.update(data)
        self._file.write(data)

    def _end(self) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        part = self._folder / f"{self._name}.part"
        stored = part.with_suffix(_suffix(part))
        part.rename(stored)
        self._files[self._name] = Upload(stored.name, self._digest.hexdigest(), self._size)

    def _all(self) -> None:
        self._ended = True


def _suffix(path: Path) -> str:
    """Return the ending that a file has by its content: what its sender called it says nothing."""
    with path.open("rb") as file:
        start = file.read(9)
    return ".safetensors" if len(start) == 9 and start[8:] == b"{" and start[6:8] == b"\0\0" else ".pt"


def _too_large(what: str, most: int, *, field: str | None = None) -> Problem:
    return Problem(413, f"{what} is larger than {most:,} bytes, the limit here.", field=field)
