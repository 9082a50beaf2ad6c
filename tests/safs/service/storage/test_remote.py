"""What is only so where workers share no disk: snapshots, leases, and what is left of dead ones."""

import contextlib
import os
import shutil

import pytest

from safs.service.storage import remote_workplace
from safs.service.storage.bucket import AwayError, Bucket
from safs.service.storage.opening import open_storage
from safs.service.storage.workplace import GoneError
from tests.safs.service.storage.conftest import everything, write
from tests.safs.service.storage.test_conformance import Turn, contents, submit


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    return f"file://{tmp_path / 'bucket'}" if request.param == "file" else request.getfixturevalue("bucket")


def journal(turn, text):
    turn.run.mkdir(exist_ok=True)
    with (turn.run / "journal.jsonl").open("a") as file:
        file.write(text)


def test_only_what_is_new_is_written(storage, place, monkeypatch):
    written = []
    for name in ("put", "write"):
        real = getattr(Bucket, name)
        monkeypatch.setattr(
            Bucket, name, lambda self, *a, real=real, name=name: written.append((name, a)) or real(self, *a)
        )
    turn = Turn(storage, submit(storage))
    journal(turn, "1\n")
    write(turn.run / "large", os.urandom(1000))
    turn.carry()
    del written[:]
    first = turn.carry()
    assert (turn.carry(), written) == (first, []), "nothing is new"
    journal(turn, "2\n")
    turn.carry()
    names = [arguments[1] if name == "put" else arguments[0] for name, arguments in written if name == "put"]
    assert [name.partition("/run/")[2] for name in names] == ["journal.jsonl"]
    assert [len(arguments[1]) for name, arguments in written if "journal" in str(arguments[0])] == [2], "its end only"


def test_a_worker_that_lost_its_lease_disturbs_nobody(storage, elsewhere, place):
    study = submit(storage)
    dead = Turn(storage, study)
    journal(dead, "1\n")
    carried = dead.carry()
    journal(dead, "2\n")
    dead.carry(confirmed=False)
    alive = Turn(elsewhere, study, carried.files)
    assert (alive.run / "journal.jsonl").read_text() == "1\n", "what the database does not know is not there"
    journal(alive, "2 as it is now\n")
    now = alive.carry()
    for n in range(3):  # it does not know yet
        journal(dead, f"zombie {n}\n")
        dead.carry()
    files = elsewhere.files(study, now.files)
    assert contents(files)["journal.jsonl"] == b"1\n2 as it is now\n"
    third = Turn(storage, study, now.files)
    assert (third.run / "journal.jsonl").read_text() == "1\n2 as it is now\n"
    assert not any(f"/{dead.lease.name}/2" in name for name in everything(place)), "and what it left is removed"
    assert {folder for folder, _ in storage.workplaces()} >= {third.lease.name}
    assert dead.ended == []
    assert third.ended == [dead.folder], "on the same machine"
    assert not dead.folder.exists()


def test_who_does_not_hold_the_lease_removes_nothing(storage, place):
    study = submit(storage)
    first = Turn(storage, study)
    journal(first, "1\n")
    carried = first.carry()
    before = everything(place)
    with pytest.raises(AwayError, match="over"):
        Turn(storage, study, None, ours=False)
    assert everything(place) == before
    assert first.folder.is_dir()
    assert contents(storage.files(study, carried.files)) == {"journal.jsonl": b"1\n"}


def test_little_is_left_of_old_snapshots_but_those_that_may_count(storage, place):
    study = submit(storage)
    turn = Turn(storage, study)
    turn.run.mkdir()
    for n in range(10):
        write(turn.run / "changing", str(n))
        carried = turn.carry()
        previous = storage.files(study, carried.files)
    assert sum("changing" in name for name in everything(place)) <= 3
    assert contents(previous) == {"changing": b"9"}
    unsure = []
    for n in range(5):  # it may be stored, although the database did not say so
        write(turn.run / "changing", f"unsure {n}")
        unsure.append(turn.carry(confirmed=False))
    for n, one in enumerate(unsure):
        assert contents(open_storage(place, turn.folder).files(study, one.files)) == {"changing": b"unsure %d" % n}
    turn.place.confirm(unsure[-1])
    turn.carry()
    assert sum("changing" in name for name in everything(place)) <= 3
    storage.remove(study)
    assert everything(place) == []


def test_rows_never_know_more_than_the_storage(storage):
    study = submit(storage)
    turn = Turn(storage, study)
    journal(turn, "1\n")
    carried = turn.carry()
    journal(turn, "2\n")
    assert carried.journal == 2
    assert turn.carry().journal == 4


def test_what_is_closed_in_the_middle_leaves_nothing(storage, monkeypatch):
    turn = Turn(storage, submit(storage))
    write(turn.run / "a", b"a")
    real = remote_workplace.capture

    def closing(*arguments):
        turn.place.close()
        return real(*arguments)

    monkeypatch.setattr(remote_workplace, "capture", closing)
    with contextlib.suppress(AwayError):
        turn.carry(confirmed=False)
    assert not turn.folder.parent.exists()


def test_an_upload_ends_with_its_lease_and_can_be_tried_again(storage, place, monkeypatch):
    study = submit(storage)
    turn = Turn(storage, study)
    write(turn.run / "a", b"a")
    write(turn.run / "b", b"b")
    real = Bucket.write

    def fails(self, name, content):
        if name.endswith("/b"):
            raise AwayError("gone")
        real(self, name, content)

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "write", fails)
        for _ in range(2):
            with pytest.raises(AwayError, match="gone"):
                turn.place.carry()
    assert contents(storage.files(study, turn.carry().files)) == {"a": b"a", "b": b"b"}
    write(turn.run / "large", os.urandom(20 * 2**20))
    turn.place._closed.set()
    with pytest.raises(AwayError, match="over"):
        turn.place.carry()
    assert not any(name.endswith("large") for name in everything(place))


def test_a_large_upload_that_breaks_off_leaves_nothing(storage, place, tmp_path):
    bucket = storage._bucket
    large = tmp_path / "large"
    large.write_bytes(os.urandom(30 * 2**20))
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 4:
            raise AwayError("stop")

    with pytest.raises(AwayError, match="stop"):
        bucket.put(large, "large", check)
    if place.startswith("s3"):
        assert everything(place) == []
    assert bucket.put(large, "whole") == 30 * 2**20
    assert b"".join(bucket.chunks("whole", 0, 30 * 2**20)) == large.read_bytes()


def test_files_that_are_gone_are_gone_but_a_storage_that_is_away_is_not(storage, place, monkeypatch):
    study = submit(storage)
    turn = Turn(storage, study)
    journal(turn, "1\n")
    carried = turn.carry()
    storage._bucket.below(study).remove([f"{carried.files}.json"])
    with pytest.raises(GoneError):
        Turn(storage, study, carried.files)

    def away(self, name, *arguments):
        raise FileNotFoundError("no such bucket")

    monkeypatch.setattr(Bucket, "write", away)
    monkeypatch.setattr(Bucket, "read", away)
    with pytest.raises(FileNotFoundError):
        Turn(storage, study)


def test_a_workplace_that_another_worker_removes_meanwhile_is_passed_over(tmp_path):
    storage = open_storage(f"file://{tmp_path / 'bucket'}", tmp_path)
    for study in "ab":
        (tmp_path / "work" / study / "lease").mkdir(parents=True)
    found = storage.workplaces()
    name, folder = next(found)
    other = tmp_path / "work" / ("b" if folder.parent.name == "a" else "a")
    shutil.rmtree(other)
    assert (name, list(found)) == ("lease", [])
