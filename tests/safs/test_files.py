import json
import os
import stat
import threading

import pytest

from safs.files import to_json, write_atomically


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_atomically(path, "α = 1\n")
    assert path.read_text(encoding="utf-8") == "α = 1\n"
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing, error):
    path = tmp_path / "a"
    write_atomically(path, "old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(f"os.{failing}" if failing == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_in_its_place_leaves_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_atomically(tmp_path / "a", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_content_is_on_the_disk_before_the_rename(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync") or fsync(fd))
    monkeypatch.setattr(type(tmp_path), "replace", lambda a, b: calls.append("replace") or replace(a, b))
    write_atomically(tmp_path / "a", "x")
    assert calls == ["fsync", "replace", "fsync"]


def test_readers_see_a_whole_file(tmp_path):
    path = tmp_path / "a"
    contents = ["x" * 200_000, "y" * 100_000]
    write_atomically(path, contents[0])
    done = threading.Event()
    seen = set()

    def read():
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(40):
        write_atomically(path, contents[k % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_json():
    assert to_json({"α": [1, None]}) == '{\n  "α": [\n    1,\n    null\n  ]\n}\n'
    assert json.loads(to_json({"x": 0.1})) == {"x": 0.1}
    with pytest.raises(ValueError, match="Out of range float"):
        to_json({"x": float("nan")})
