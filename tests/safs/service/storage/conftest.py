"""Storages of each kind; S3 is a server of its own, spoken to over HTTP."""

import os
from pathlib import Path

import pytest

from safs.service.storage.opening import open_storage


@pytest.fixture(params=["local", "file", "s3"])
def place(request, tmp_path):
    """Where the storage is, as the settings name it; each test has one of its own."""
    if request.param == "local":
        return str(tmp_path / "studies")
    if request.param == "file":
        return f"file://{tmp_path / 'bucket' / 'folder'}"
    return request.getfixturevalue("bucket")


@pytest.fixture
def storage(place, tmp_path):
    """A storage of each kind, which one machine has opened."""
    return open_storage(place, tmp_path / "home")


@pytest.fixture
def elsewhere(place, tmp_path):
    """The same storage, as another machine has opened it."""
    return open_storage(place, tmp_path / "other home")


def everything(place):
    """Return the names of all files or objects in a storage."""
    import fsspec

    system, root = fsspec.core.url_to_fs(place, use_listings_cache=False)
    found = system.find(root) if system.exists(root) else []
    return sorted(str(Path(path).relative_to(Path(root))) for path in found)


def write(path, content="x"):
    """Write a file as studies do: aside, and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    aside.write_bytes(content if isinstance(content, bytes) else content.encode())
    aside.replace(path)
