"""What a server that is killed leaves in the temporary folder is removed by the next."""

import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

from safs.service import temporary
from tests.safs.service.conftest import Server


@pytest.fixture
def place():
    """An empty temporary folder; its path is short, as that of a socket must be."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_a_server_that_is_killed_leaves_what_the_next_removes_and_one_that_ends_nothing(place, tmp_path):
    killed = Server(tmp_path, "--no-worker", TMPDIR=str(place)).start()
    (own,) = place.iterdir()
    assert own.name.split("-")[2] == str(killed.process.pid)
    killed.kill()
    assert list(place.iterdir()) == [own]
    assert killed.start().stop() == 130
    assert list(place.iterdir()) == []
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
    killed.database.close()


def test_what_others_use_or_own_is_left(place, monkeypatch):
    monkeypatch.setattr(temporary.tempfile, "gettempdir", lambda: str(place))
    monkeypatch.setattr(temporary, "Finalize", lambda *arguments, **options: None)
    mine = temporary.temporary_folder()
    prefix = mine.name[: len("safs-12345678-")]
    began = int(psutil.Process().create_time())
    parent = psutil.Process().ppid()
    theirs = place / f"{prefix}{parent}-{int(psutil.Process(parent).create_time())}"
    others = [theirs, place / f"{prefix}nobody", place / f"safs-00000000-1-{began}", place / "pymp-abc"]
    gone = [place / f"{prefix}{2**22 + 1}-{began}", place / f"{prefix}{parent}-1"]
    for folder in (*others, *gone):
        folder.mkdir()
    assert temporary.temporary_folder() == mine
    assert sorted(place.iterdir()) == sorted([mine, *others])
