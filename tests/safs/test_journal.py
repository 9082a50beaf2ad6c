import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safs.journal import Journal
from safs.storage import StorageError
from spaces.errors import SafsError

ROOT = Path(__file__).parents[2]
RECORDS = [{"kind": "trial", "id": str(number), "text": "α × β", "cost": 1.5} for number in range(3)]


@pytest.fixture
def path(tmp_path):
    """A journal of three records."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
    return path


def test_records_come_back_in_order(path):
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == RECORDS
    with Journal(path) as journal:
        assert journal.records == RECORDS
        journal.append({"kind": "test"})
        assert journal.records == [*RECORDS, {"kind": "test"}]


def test_closing_twice_is_fine(path):
    journal = Journal(path)
    journal.close()
    journal.close()


def test_a_torn_last_line_is_dropped_at_whatever_byte_it_was_torn_and_the_file_goes_on(path):
    whole = path.read_bytes()
    kept = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for end in range(kept, len(whole)):
        path.write_bytes(whole[:end])
        with Journal(path) as journal:
            assert journal.records == RECORDS[:2]
            assert path.read_bytes() == whole[:kept]
            journal.append(RECORDS[2])
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage", [b"{", b"", b"null", b"[1]", b"3", b"{}", b'{"kind": 3}', b"\xff\xfe", b'{"kind": "tri']
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_line_is_refused_with_its_number_and_left_alone(damage, number, path):
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = damage
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(SafsError, match=rf"Line {number} of .*journal.jsonl is damaged.*another run directory"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_refused_journal_is_let_go_of(path):
    whole = path.read_bytes()
    path.write_bytes(b"damaged\n")
    with pytest.raises(SafsError):
        Journal(path)
    path.write_bytes(whole)
    with Journal(path) as journal:
        assert journal.records == RECORDS


HOLD = """
import sys
from pathlib import Path
from safs.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_journal_that_another_process_holds_is_refused_until_that_ends(path):
    before = path.read_bytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SafsError, match=r"Another process is running this study.*journal\.jsonl"):
            Journal(path)
        assert path.read_bytes() == before
        holder.kill()
        holder.wait()
        with Journal(path) as journal:
            assert journal.records == RECORDS
    finally:
        holder.kill()
        holder.communicate()


def test_a_record_is_on_the_disk_before_append_returns(path, monkeypatch):
    sizes = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (sizes.append(os.fstat(descriptor).st_size), fsync(descriptor)))
    with Journal(path) as journal:
        sizes.clear()
        journal.append(RECORDS[0])
        assert sizes == [path.stat().st_size]


def test_a_new_journals_entry_in_its_folder_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("safs.journal.sync_folder", synced.append)
    Journal(tmp_path / "journal.jsonl").close()
    assert synced == [tmp_path]
    Journal(tmp_path / "journal.jsonl").close()
    assert synced == [tmp_path]


def test_what_json_does_not_hold_is_refused_before_anything_is_written(path):
    before = path.read_bytes()
    with Journal(path) as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append({"kind": "trial", "cost": float("nan")})
        assert path.read_bytes() == before
        assert journal.records == RECORDS


def test_a_failing_fsync_leaves_the_journal_as_it_was(path, monkeypatch):
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    with Journal(path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(StorageError, match=r"Writing failed \(Input/output error\) at .*journal.jsonl.*resume"):
                journal.append({"kind": "test"})
        assert path.read_bytes() == before
        assert journal.records == RECORDS
        journal.append({"kind": "test"})
    assert path.read_bytes() == before + b'{"kind": "test"}\n'


@pytest.mark.parametrize("size", [10, 5_000, 20_000, 100_000])
def test_a_full_disk_is_one_clear_error_and_leaves_the_journal_as_it_was(size, small_disk, fill):
    """A line that does not fit, at all or in part: lines up to and beyond what Python would buffer."""
    path = small_disk(64) / "journal.jsonl"
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
        filler = fill(path.parent)
        with filler.open("r+b") as file:  # one free page: part of a long line fits
            file.truncate(filler.stat().st_size - 4096)
        with pytest.raises(StorageError, match=r"The disk is full at .*journal.jsonl; free some space, and run the"):  # noqa: PT012
            for _ in range(1000):
                before = path.read_bytes()
                journal.append({"kind": "trial", "text": "x" * size})
        assert path.read_bytes() == before
        filler.unlink()
    assert path.read_bytes() == before, "closing wrote nothing of it, now that there is room"
    with Journal(path) as journal:
        assert journal.records[:3] == RECORDS
        journal.append({"kind": "test"})
    assert path.read_bytes() == before + b'{"kind": "test"}\n'


def test_after_a_full_disk_the_same_journal_goes_on_too(small_disk, fill):
    path = small_disk(64) / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(RECORDS[0])
        filler = fill(path.parent)
        with pytest.raises(StorageError):
            journal.append({"kind": "trial", "text": "x" * 10_000})
        filler.unlink()
        journal.append(RECORDS[1])
    with Journal(path) as journal:
        assert journal.records == RECORDS[:2]


def test_a_journal_that_cannot_be_opened_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="journal"):
        Journal(tmp_path / "missing" / "journal.jsonl")
