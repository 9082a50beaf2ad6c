"""What a server that is killed leaves in the temporary folder is removed by the next."""

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

import psutil
import pytest

from benchmarks.service_server import Server
from safs.service import temporary
from spaces.errors import SafsError


@pytest.fixture
def place():
    """An empty temporary folder; its path is short, as that of a socket must be."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_a_server_that_is_killed_leaves_what_the_next_removes_and_one_that_ends_nothing(place, tmp_path):
    with Server(tmp_path, TMPDIR=str(place)) as killed:
        killed.start(worker=False)
        (own,) = place.iterdir()
        killed.kill()
        assert list(place.iterdir()) == [own]
        assert killed.start(worker=False).stop() == 130
    assert list(place.iterdir()) == []
    assert "Traceback" not in killed.said()


def test_what_others_use_or_own_is_left(place, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(temporary, "Finalize", lambda *arguments, **options: None)
    mine = temporary.temporary_folder()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
    prefix = mine.name[: len("safs-temporary-")]
    outside = place / "outside"
    others = [place / f"{prefix}theirs", place / "pymp-abc", outside]
    gone = [place / f"{prefix}gone", place / f"{prefix}"]
    for folder in (*others, *gone):
        folder.mkdir()
        (folder / "file").touch()
    os.chown(others[0], 54321, 54321) if os.geteuid() == 0 else others[0].chmod(0)
    link, file = place / f"{prefix}link", place / f"{prefix}file"
    link.symlink_to(outside)
    file.touch()
    again = temporary.temporary_folder()
    assert sorted(place.iterdir()) == sorted([mine, again, *others, link, file])
    assert (outside / "file").exists()


def test_where_nothing_can_be_locked_is_one_sentence(place, monkeypatch):
    def nothing(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(temporary.fcntl, "flock", nothing)
    open_before = psutil.Process().num_fds()
    with pytest.raises(SafsError, match=r"No locks available.*set TMPDIR"):
        temporary.temporary_folder()
    assert list(place.iterdir()) == []
    assert psutil.Process().num_fds() == open_before
