"""A study on its way to the service: files go from the disk, piece by piece, each attempt from their start."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx2

from safs.client.connection import Connection
from safs.client.records import Study
from spaces.errors import SafsError, shown

_TIMEOUT = httpx2.Timeout(600.0, connect=10.0)
"""The server may take minutes to say what it thinks of a checkpoint."""

_KEY = re.compile(r"[ -~]{1,200}")
_Part = tuple[str, tuple[str | None, bytes | BinaryIO]]


def upload(connection: Connection, fields: Sequence[tuple[str, str]], files: dict[str, Path], key: str | None) -> Study:
    """Submit a study, once however often it is tried: each attempt carries the same Idempotency-Key.

    Args:
        fields, files: the parts of the form.
        key: the Idempotency-Key, or None for a new one.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise SafsError(f"An Idempotency-Key is 1 to 200 printable characters of ASCII, but got {shown(key)}.")
    headers = {"Idempotency-Key": key or secrets.token_hex(16)}
    texts: list[_Part] = [(name, (None, _encoded(name, text))) for name, text in fields]
    with _opened(files) as parts:
        if files:
            _check_limits(connection, files)
        response = connection.repeat(
            # `files` also for the texts: a form without any would not be multipart.
            lambda: connection.send("POST", "/v1/studies", files=[*texts, *parts], headers=headers, timeout=_TIMEOUT)
        )
    return connection.json(response, Study.from_json)


def _encoded(name: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise SafsError(f"The {name} must be text, but is a {type(text).__name__}.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise SafsError(f"The {name} holds {shown(text[error.start])}, a character that no text holds.") from None


@contextmanager
def _opened(files: dict[str, Path]) -> Iterator[list[_Part]]:
    with contextlib.ExitStack() as stack:
        parts: list[_Part] = []
        for name, path in files.items():
            try:
                if not path.is_file():
                    raise SafsError(f"There is no {name} at {path}.")
                file = stack.enter_context(path.open("rb"))
            except OSError as error:
                raise SafsError(f"The {name} {path} cannot be read: {error.strerror}.") from None
            parts.append((name, (f"{name}{path.suffix}", file)))
        yield parts


def _check_limits(connection: Connection, files: dict[str, Path]) -> None:
    """Ask before a long upload what would be refused after it: a server that hangs up early cannot say why."""
    me: dict[str, Any] = connection.json(connection.get("/v1/me"), dict)
    limit = (me.get("limits") or {}).get("upload_bytes")
    for name, path in files.items():
        size = path.stat().st_size
        if limit is not None and size > limit:
            raise SafsError(f"The {name} {path} has {size:,} bytes, and your token is for at most {limit:,}.")
