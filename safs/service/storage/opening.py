"""Open the storage that somebody has named, and see that it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safs.service.storage.base import Storage
from safs.service.storage.bucket import Bucket
from safs.service.storage.local import LocalStorage
from safs.service.storage.remote import RemoteStorage
from spaces.errors import SafsError, brief

_ALONE = ("memory", "http", "https", "data", "reference")
"""Kinds that only one process sees, or that nobody can write to."""


def open_storage(place: str | None, home: Path, carry_seconds: float = 5.0) -> Storage:
    """Return a storage that can be written.

    Args:
        place: a local folder or an fsspec URL such as s3://bucket/folder; None for a folder in the home.
        home: the service's folder on this machine.
        carry_seconds: how often what a study makes is taken to a URL.

    Raises:
        SafsError: if it cannot be used; no secret that a URL may hold is in the sentence.
    """
    named = str(home / "studies") if place is None else place
    try:
        storage = _remote(named, home, carry_seconds) if "://" in named else LocalStorage(Path(named))
        storage.probe()
    except OSError as error:
        why = _without_secrets(error.strerror or brief(error), named)
        raise SafsError(f"The storage {_shown(named)} cannot be written: {why.rstrip('.')}.") from None
    return storage


def _remote(url: str, home: Path, carry_seconds: float) -> Storage:
    import fsspec
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    if scheme not in fsspec.available_protocols() or scheme in _ALONE:
        raise SafsError(
            f"The storage's URL begins with {scheme!r}, which cannot be used; give a folder, or a URL that fsspec can "
            "write to, such as s3://bucket/folder."
        )
    try:
        system, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        raise SafsError(f"The storage {_shown(url)} needs a package that is not installed: {brief(error)}.") from None
    except Exception as error:  # noqa: BLE001 - each package has its own
        why = _without_secrets(brief(error), url)
        raise SafsError(f"The storage {_shown(url)} cannot be opened ({type(error).__name__}: {why}).") from None
    return RemoteStorage(Bucket(system, _checked(root, url)), home, carry_seconds)


def _checked(root: Any, url: str) -> str:
    if not isinstance(root, str) or not root.strip("/"):
        raise SafsError(f"The storage {_shown(url)} must name a bucket or a folder.")
    return root


def _shown(place: str) -> str:
    """Return a place as it may be printed."""
    if "://" not in place:
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _without_secrets(sentence: str, place: str) -> str:
    """Return a sentence without what stands before the @ or behind the ? of a URL that it may quote."""
    parts = urlsplit(place) if "://" in place else urlsplit("")
    user, at, _ = parts.netloc.rpartition("@")
    for secret in (user, *(user.split(":", 1)[1:] if at else ()), parts.query):
        sentence = sentence.replace(secret, "***") if secret else sentence
    return sentence
