"""What the settings may name, and what is said of what cannot be used."""

import os
import socket
import subprocess
import sys

import pytest

from safs.service.settings import ServiceSettings
from safs.service.storage.local import LocalStorage
from safs.service.storage.opening import open_storage
from safs.service.storage.remote import RemoteStorage
from safs.service.store.database import Database
from spaces.errors import SafsError
from tests.safs.conftest import ROOT


def refused(place, home):
    with pytest.raises(SafsError) as caught:
        open_storage(place, home)
    return str(caught.value)


def test_folders_are_local_and_urls_are_not(tmp_path):
    assert isinstance(open_storage(None, tmp_path), LocalStorage)
    assert isinstance(open_storage(str(tmp_path / "a b"), tmp_path), LocalStorage)
    assert isinstance(open_storage(f"file://{tmp_path}/c", tmp_path), RemoteStorage)


@pytest.mark.parametrize("scheme", ["nothing", "memory", "https", "simplecache::s3"])
def test_schemes_that_cannot_be_used(tmp_path, scheme):
    assert f"begins with '{scheme}'" in refused(f"{scheme}://bucket/folder", tmp_path)


def test_a_package_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    sentence = refused("gs://bucket", tmp_path)
    assert "gcsfs" in sentence
    assert sentence.count("\n") == 0


def test_a_bucket_that_is_not_there_or_cannot_be_reached(bucket, tmp_path, monkeypatch):
    assert refused("s3://", tmp_path)
    assert "The storage s3://no-such-bucket/x cannot be written: The specified bucket does not exist" in refused(
        "s3://no-such-bucket/x", tmp_path
    )
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        sentence = refused(bucket, tmp_path)
    assert sentence.startswith(f"The storage {bucket} cannot be written: ")
    assert "the-secret-key" not in sentence


def test_no_secret_of_a_url_is_said(tmp_path):
    for url in ("ftp://user:hunter2@127.0.0.1:1/x", "s3://user:hunter2@/x?key=hunter2", "no://user:hunter2@host/"):
        sentence = refused(url, tmp_path)
        assert "hunter2" not in sentence
    settings = ServiceSettings.from_mapping({"storage": "ftp://user:hunter2@host/x"})
    assert "hunter2" not in repr(settings)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "cannot be written: Not a directory." in refused(str(tmp_path / "file" / "studies"), tmp_path)


def test_the_environment_stands_before_the_file(tmp_path, monkeypatch):
    (tmp_path / "settings.yaml").write_text("storage: a\n")
    monkeypatch.setenv("SAFS_STORAGE", "b")
    assert ServiceSettings.read(tmp_path / "settings.yaml").storage.get_secret_value() == "b"


@pytest.mark.parametrize("command", [["worker"], ["serve", "--port", "0"]])
def test_the_commands_say_it_in_one_line(tmp_path, command):
    Database.in_folder(tmp_path).close()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "SAFS_STORAGE": "no://user:hunter2@host/x", "XDG_CONFIG_HOME": str(tmp_path)
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "safs", *command, "--home", str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: The storage's URL begins with 'no', which cannot be used")
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stdout + ended.stderr
