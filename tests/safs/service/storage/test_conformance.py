"""What every storage does, on each kind of them."""

import os

import pytest

from safs.service.ids import new_id
from safs.service.storage import base, remote_workplace
from safs.service.storage.workplace import GoneError
from safs.service.store.leases import Lease
from tests.safs.service.storage.conftest import everything, write

PIECE = 8 * 2**20


def submit(storage, config="model: lenet5\n", checkpoint=b"weights"):
    study = new_id()
    with storage.incoming() as incoming:
        write(incoming.folder / "config.yaml", config)
        write(incoming.folder / "input" / "checkpoint.pt", checkpoint)
        incoming.keep(study)
    return study


class Turn:
    """A worker's turn at a study: its lease, its workplace."""

    def __init__(self, storage, study, files=None, *, ours=True):
        self.lease = Lease(study, os.urandom(16).hex(), files)
        self.place = storage.workplace(self.lease)
        self.ended = []
        self.place.open(lambda: ours, self.ended.append)
        self.folder = self.place.folder
        self.run = self.folder / "run"

    def carry(self, *, confirmed=True):
        carried = self.place.carry()
        if confirmed:
            self.place.confirm(carried)
        return carried


def contents(files):
    return {one.path: b"".join(files.artifact(one.path).chunks(0, one.size)) for one in files.artifacts()}


def test_what_was_submitted_is_there_for_a_worker_on_another_machine(storage, elsewhere):
    large = os.urandom(PIECE + 12345)
    study = submit(storage, checkpoint=large)
    turn = Turn(elsewhere, study)
    assert (turn.folder / "config.yaml").read_text() == "model: lenet5\n"
    assert (turn.folder / "input" / "checkpoint.pt").read_bytes() == large
    files = storage.files(study, None)
    assert (files.artifacts(), files.log(), files.artifact("config.yaml")) == ([], None, None)


def test_of_what_is_not_kept_nothing_is_left(storage, place):
    before = everything(place)
    with storage.incoming() as incoming:
        write(incoming.folder / "config.yaml")
    assert everything(place) == before
    study = submit(storage)
    storage.remove(study)
    storage.remove(study)
    assert everything(place) == before
    with pytest.raises(GoneError):
        Turn(storage, study)


def test_what_a_study_has_made_is_read_elsewhere_as_it_was_carried(storage, elsewhere):
    study = submit(storage)
    turn = Turn(storage, study)
    write(turn.run / "journal.jsonl", '{"kind": "inputs"}\n{"torn"')
    write(turn.run / "summary.json", "{}")
    write(turn.run / "trials" / "a" / "log.txt", "epoch 1\n")
    write(turn.run / "figures" / "curve.png", bytes(range(256)) * 100_000)
    write(turn.run / ".hidden")
    (turn.run / "link").symlink_to("/etc/passwd")
    (turn.folder / "log.txt").write_text("hello\n")
    carried = turn.carry()
    files = elsewhere.files(study, carried.files)
    names = ["journal.jsonl", "summary.json", "figures/curve.png", "trials/a/log.txt"]
    assert [one.path for one in files.artifacts()] == names
    assert files.log().read(0, 100) == b"hello\n"
    assert (files.log().read(2, 2), files.log().read(100, 10)) == (b"ll", b"")
    picture = files.artifact("figures/curve.png")
    listed = next(one for one in files.artifacts() if one.path == "figures/curve.png")
    assert (picture.size, picture.size, picture.modified) == (25_600_000, listed.size, listed.modified)
    assert abs(picture.modified - (turn.run / "figures" / "curve.png").stat().st_mtime) < 1e-3
    assert b"".join(picture.chunks(PIECE - 3, PIECE + 300)) == (bytes(range(256)) * 3)[253:556]
    assert sum(map(len, picture.chunks(0, picture.size))) == picture.size
    if carried.journal is not None:
        assert contents(files)["journal.jsonl"] == b'{"kind": "inputs"}\n', "a torn line says nothing"
        assert carried.journal == 19


NO_PATHS = [
    "../config.yaml", "..", "", ".", "/etc/passwd", "link", "away/x", ".hidden", "figures", "figures/", "nothing",
    "summary.json/x", "a\0b", "figures/../summary.json", "figures/../../log.txt", "./summary.json", "x" * 400,
]  # fmt: skip


def test_no_path_leaves_the_run_directory(storage):
    study = submit(storage)
    turn = Turn(storage, study)
    write(turn.run / "summary.json")
    write(turn.run / "figures" / "curve.png")
    write(turn.run / ".hidden")
    (turn.run / "link").symlink_to("/etc/passwd")
    (turn.run / "away").symlink_to(turn.folder)
    files = storage.files(study, turn.carry().files)
    assert [path for path in NO_PATHS if files.artifact(path) is not None] == []
    assert files.artifact("summary.json") is not None


def test_etags_tell_contents_apart(storage):
    study = submit(storage)
    turn = Turn(storage, study)
    write(turn.run / "a", "1")
    write(turn.run / "b", "1")
    first = storage.files(study, turn.carry().files)
    write(turn.run / "a", "2")
    second = storage.files(study, turn.carry().files)
    assert first.artifact("b").etag == second.artifact("b").etag
    assert second.artifact("a").etag not in (first.artifact("b").etag, second.artifact("b").etag)
    assert contents(second) == {"a": b"2", "b": b"1"}


def test_the_next_worker_goes_on_where_the_last_one_was(storage, elsewhere):
    study = submit(storage)
    first = Turn(storage, study)
    write(first.run / "journal.jsonl", "1\n")
    write(first.run / "gone", "x")
    (first.folder / "log.txt").write_text("first\n")
    first.carry()
    (first.run / "gone").unlink()
    for content in ("2\n", "3\n"):
        with (first.run / "journal.jsonl").open("a") as journal:
            journal.write(content)
        carried = first.carry()
    first.place.close()
    second = Turn(elsewhere, study, carried.files)
    assert (second.run / "journal.jsonl").read_text() == "1\n2\n3\n"
    assert not (second.run / "gone").exists()
    with (second.folder / "log.txt").open("a") as log:
        log.write("second\n")
    files = storage.files(study, second.carry().files)
    assert files.log().read(0, 100) == b"first\nsecond\n"
    assert contents(files) == {"journal.jsonl": b"1\n2\n3\n"}


def test_what_grows_stays_whole_however_often_it_is_carried(storage, monkeypatch):
    monkeypatch.setattr(remote_workplace, "_MOST_PARTS", 5)
    study = submit(storage)
    turn = Turn(storage, study)
    turn.run.mkdir()
    expected = b""
    for n in range(12):
        with (turn.run / "journal.jsonl").open("ab") as journal:
            journal.write(b"%d\n" % n)
        expected += b"%d\n" % n
        carried = turn.carry()
    assert contents(storage.files(study, carried.files))["journal.jsonl"] == expected
    assert carried.journal in (None, len(expected))


def test_a_sweep_removes_what_nobody_knows_once_it_is_old(storage, place):
    known, unknown = submit(storage), submit(storage)
    with storage.incoming() as incoming:
        storage.sweep({known}, 0.0)
        assert incoming.folder.is_dir()
        Turn(storage, unknown).place.close()
        storage.sweep({known}, 2e9)
        assert not incoming.folder.exists()
    Turn(storage, known)
    with pytest.raises(GoneError):
        Turn(storage, unknown)


def test_a_probe_leaves_nothing(storage, place):
    before = everything(place)
    storage.probe()
    assert storage.writable()
    assert everything(place) == before


def test_however_often_it_is_asked_whether_it_can_be_written_it_is_tried_once_in_a_while(storage, monkeypatch):
    tried = []
    probe = storage.probe
    monkeypatch.setattr(storage, "probe", lambda: (tried.append(1), probe()))
    assert all(storage.writable() for _ in range(100))
    assert len(tried) == 1

    def refuse():
        raise PermissionError

    monkeypatch.setattr(storage, "probe", refuse)
    monkeypatch.setattr(base, "_FRESH_S", 0.0)
    assert not storage.writable()
