"""A file as an answer: whole, or the range of it that is asked for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import formatdate
from itertools import chain
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import StreamingResponse

from safs.service.api.problems import Problem
from safs.service.storage.files import File

_RANGE = re.compile(r"bytes=(\d{0,40})-(\d{0,40})", re.ASCII | re.IGNORECASE)


def download(file: File, name: str, wanted: str | None, only_if: str | None, *, body: bool = True) -> Response:
    """Return a file as a download: no browser shows it as a page of the service.

    Args:
        file: what.
        name: under which it is stored.
        wanted: the header Range; one that asks for several ranges, or is none, is as good as missing.
        only_if: the header If-Range.
        body: with its content, and not only with what would be said of it (HEAD).

    Raises:
        Problem: 416 if there is no such range.
        OSError: if it cannot be read.
    """
    modified = formatdate(file.modified, usegmt=True)
    range_ = _range(wanted or "") if only_if in (None, file.etag, modified) else None
    start, end = (0, file.size) if range_ is None else _bounds(*range_, file.size)
    quoted = quote(name, safe="")
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{name}"'
        if quoted == name
        else f"attachment; filename*=UTF-8''{quoted}",
        "Content-Length": str(end - start),
        "ETag": file.etag,
        "Last-Modified": modified,
    }
    if range_ is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 200 if range_ is None else 206
    if not body:
        return Response(None, status, headers, "application/octet-stream")
    return StreamingResponse(_begun(file.chunks(start, end)), status, headers, "application/octet-stream")


def is_known(file: File, tags: str) -> bool:
    """Return whether a header If-None-Match names the file as it is; whether a tag is weak is no matter there."""
    return tags.strip() == "*" or file.etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))


def _range(wanted: str) -> tuple[str, str] | None:
    """Return the first and the last byte that a header asks for, each perhaps "", or None if it is none."""
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] == found[2] == "" or (found[1] and found[2] and int(found[2]) < int(found[1])):
        return None
    return found[1], found[2]


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Return from where to where a range goes that is within the file."""
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(0, size - int(last or 0)), size
    if start >= end:
        raise Problem(
            416, f"The file has {size:,} bytes, and none of that range.", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, end


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same chunks, the first of which is there: what cannot be read at all is an error, no broken answer."""
    return chain([first], chunks) if (first := next(chunks, None)) is not None else iter(())
