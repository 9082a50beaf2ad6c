"""The parts of a worker, one by one."""

import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from safs.cli.tally import Tally
from safs.engines.cluster.connection import ClusterLostError
from safs.journal import HeldError
from safs.outcome import Status, TrialOutcome
from safs.protocol import Protocol
from safs.service.settings import Limits
from safs.service.states import Reason, State
from safs.service.storage.workplace import Carried
from safs.service.store import leases, studies
from safs.service.store.leases import Lease
from safs.service.worker import limits, usage
from safs.service.worker.copying import Copying
from safs.service.worker.ledger import Ledger
from safs.service.worker.mark import MARK, kill_leftover, leave_mark, remove_mark
from safs.service.worker.mirror import Mirror
from safs.service.worker.outcome import CANCELED, LEFT, Outcome, lost, outcome_of
from safs.service.worker.patience import Patience
from safs.service.worker.said import How, Said, said_of
from safs.service.worker.telling import progress_of
from safs.spec import TrialSpec
from safs.storage import StorageError
from spaces.errors import SafsError

SPEC = TrialSpec("pruned", ("relu", "srs"), Protocol(epochs=4), 0, cost="validation_error", folds=3, fold=1)
DONE = TrialOutcome(Status.SUCCEEDED, 0.25, metrics={"validation_accuracy": 0.75}, seconds=1.5, peak_memory=7)


@pytest.fixture
def held(service, values):
    """The lease of a study that runs, and who writes under it."""
    service.submit(values)
    lease = leases.claim(service.database, "a", 60)
    return lease, Ledger(service.database, lease)


def line(**changes):
    record = {"kind": "trial", "id": SPEC.id, "phase": "safs", "spec": SPEC.to_json(), "outcome": DONE.to_json()}
    return json.dumps(record | changes).encode() + b"\n"


def test_a_mirror_reads_complete_lines_and_goes_on_where_another_stopped(tmp_path):
    journal = tmp_path / "journal.jsonl"
    mirror = Mirror(journal, 1)
    mirror.read()
    assert mirror.waiting == []
    third = line(id="c")
    journal.write_bytes(line(kind="inputs") + line(id="a") + line(id="b") + b"damaged\n" + third[:20])
    mirror.read()
    assert [(trial["n"], trial["id"]) for trial in mirror.waiting] == [(2, "b")]
    mirror.has_stored(1)
    with journal.open("ab") as file:
        file.write(third[20:])
    mirror.read()
    assert (mirror.stored, [(trial["n"], trial["id"]) for trial in mirror.waiting]) == (2, [(3, "c")])


def test_a_trial_is_shown_as_the_contract_says(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(line())
    mirror = Mirror(tmp_path / "journal.jsonl", 0)
    mirror.read()
    assert mirror.waiting == [
        {
            "n": 1,
            "id": SPEC.id,
            "phase": "safs",
            "status": "SUCCEEDED",
            "reason": None,
            "cost": 0.25,
            "accuracy": 75.0,
            "seconds": 1.5,
            "assignment": ["relu", "srs"],
            "protocol": SPEC.protocol.to_json(),
            "fold": 1,
            "learn": False,
            "peak_memory": 7,
        }
    ]


def test_progress_is_what_the_contract_says():
    tally = Tally()
    assert progress_of(tally) is None
    tally.expect(8, lambda spec: 4)
    tally.phase("stage 1", 2)
    assert progress_of(tally) is None
    tally.queued("stage1", SPEC)
    tally.started(SPEC, "here")
    tally.epoch(SPEC, 2, float("nan"))
    progress = progress_of(tally)
    (running,) = progress["running"]
    assert running == {"id": SPEC.id, "phase": "stage1", "worker": "here", "epoch": 2, "epochs": 4, "loss": None}
    assert (progress["phase"], progress["done"]) == ("stage1", 0.25)
    tally.trial("stage1", SPEC, DONE, cached=False)
    progress = progress_of(tally)
    assert (progress["phase"], progress["done"], progress["running"]) == ("stage1", 0.5, [])
    assert progress["seconds_left"] >= 0


FULL = StorageError(Path("x"), OSError(errno.ENOSPC, "full"))
FULL.__cause__ = OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize(
    ("error", "how", "reason"),
    [
        (HeldError("held"), How.HELD, None),
        (SafsError("bad"), How.ERROR, Reason.ERROR),
        (FULL, How.ERROR, Reason.DISK),
        (ClusterLostError("gone"), How.LOST, Reason.LOST),
        (MemoryError(), How.ERROR, Reason.OOM),
        (ZeroDivisionError("by zero"), How.ERROR, Reason.ERROR),
    ],
)
def test_what_a_process_says_of_its_end_arrives(error, how, reason):
    said = said_of(error)
    assert (said.how, said.reason) == (how, reason)
    assert Said.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert said.sentence


TIMEOUT = Outcome(State.FAILED, Reason.TIMEOUT, "too long")


@pytest.mark.parametrize(
    ("code", "said", "stop", "oom", "outcome"),
    [
        (0, Said(How.OK), None, False, Outcome(State.SUCCEEDED)),
        (0, Said(How.OK), CANCELED, False, Outcome(State.SUCCEEDED)),
        (130, None, CANCELED, False, CANCELED),
        (-9, None, TIMEOUT, True, TIMEOUT),
        (2, Said(How.ERROR, Reason.ERROR, "bad"), None, False, Outcome(State.FAILED, Reason.ERROR, "bad")),
        (1, Said(How.LOST, Reason.LOST, "gone"), None, False, lost("gone")),
        (2, Said(How.HELD, None, "held"), None, False, lost("held")),
        (-11, None, None, True, lost("Its process was killed by SIGSEGV.")),
        (-9, None, None, False, lost("Its process was killed by SIGKILL.")),
        (130, None, None, False, lost("Its process ended with code 130.")),
    ],
)
def test_what_becomes_of_a_study(code, said, stop, oom, outcome):
    assert outcome_of(code, said, stop, oom) == outcome


def test_a_study_that_the_system_killed_for_want_of_memory_has_failed():
    outcome = outcome_of(-signal.SIGKILL, None, None, oom_killed=True)
    assert (outcome.state, outcome.reason) == (State.FAILED, Reason.OOM)


def test_nothing_is_written_without_the_lease(service, held):
    lease, ledger = held
    other = Ledger(service.database, Lease(lease.study_id, "0" * 32))
    assert not other.add([{"n": 1}], {"done": 0.5})
    assert other.end(LEFT, None) is None
    study = service.get(lease.study_id)
    assert (study.state, study.progress, service.trials(lease.study_id)) == (State.RUNNING, None, [])
    assert ledger.add([{"n": 1}], {"done": 0.5})
    assert service.trials(lease.study_id) == [{"n": 1}]


def test_what_was_stored_although_the_database_was_gone_before_it_said_so_is_not_stored_again(service, held, tmp_path):
    class Cut(Ledger):
        def add(self, *arguments):
            super().add(*arguments)
            raise OperationalError("", {}, sqlite3.OperationalError("cut"))

    lease, ledger = held
    (tmp_path / "journal.jsonl").write_bytes(line(id="a") + line(id="b"))
    cut = Cut(service.database, lease)
    copying = Copying(tmp_path / "journal.jsonl", cut)
    with pytest.raises(OperationalError):
        copying.catch_up({"done": 0.5}, Carried())
    cut.add = ledger.add
    assert copying.catch_up({"done": 0.5}, Carried())
    assert [trial["id"] for trial in service.trials(lease.study_id)] == ["a", "b"]
    assert service.get(lease.study_id).progress == {"done": 0.5, "trials": 2}


def test_a_worker_that_leaves_does_not_count_against_its_study(service, held):
    lease, ledger = held
    assert ledger.add([], {"done": 0.5, "running": [1], "seconds_left": 2.0})
    assert ledger.end(LEFT, None) == LEFT
    study = service.get(lease.study_id)
    assert (study.state, study.attempts, study.ended) == (State.QUEUED, 0, None)
    assert study.progress == {"done": 0.5, "running": [], "seconds_left": None}


def test_a_study_that_is_to_be_canceled_is_not_queued_again(service, held):
    lease, ledger = held
    with service.database.writing() as connection:
        assert studies.cancel(connection, studies.get(connection, lease.study_id))
    assert ledger.end(lost("It died."), None) == CANCELED
    assert service.get(lease.study_id).ended is not None


def test_patience_waits_longer_after_each_failure_and_hides_no_mistake():
    now = 0.0
    patience = Patience(every=1.0, clock=lambda: now)
    pauses = []
    for _ in range(7):
        with patience.trying():
            raise OperationalError("", {}, sqlite3.OperationalError("locked"))
        began = now
        while not patience.is_due:
            now += 0.1
        pauses.append(round(now - began, 1))
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.11)
    with patience.trying():
        pass
    assert not patience.is_due
    patience.hurry()
    assert patience.is_due
    with pytest.raises(IntegrityError), patience.trying():
        raise IntegrityError("", {}, sqlite3.IntegrityError())


def sleeper(folder, code="import time; time.sleep(60)"):
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, start_new_session=True, stdout=subprocess.PIPE)


def test_a_leftover_process_is_killed_but_no_other_with_its_number(tmp_path):
    (tmp_path / "other").mkdir()
    process = sleeper(tmp_path)
    try:
        leave_mark(tmp_path, process.pid)
        mark = json.loads((tmp_path / MARK).read_text())
        assert mark["host"] == socket.gethostname()
        for wrong in ({"host": "elsewhere"}, {"started": mark["started"] - 100}, {"pid": os.getpid()}, {"pid": "1"}):
            (tmp_path / MARK).write_text(json.dumps(mark | wrong))
            kill_leftover(tmp_path)
        (tmp_path / "other" / MARK).write_text(json.dumps(mark))
        kill_leftover(tmp_path / "other")
        (tmp_path / MARK).write_text("torn")
        kill_leftover(tmp_path)
        assert process.poll() is None
        leave_mark(tmp_path, process.pid)
        kill_leftover(tmp_path)
        assert process.wait(10) == -signal.SIGKILL
        remove_mark(tmp_path, os.getpid())
        assert (tmp_path / MARK).exists()
        remove_mark(tmp_path, process.pid)
        assert not (tmp_path / MARK).exists()
    finally:
        process.kill()
        process.wait()


ALLOCATES = """
import os, sys, time
taken = bytearray(os.urandom(1) * (40 << 20))
if len(sys.argv) == 1:
    os.system(f"{sys.executable} code.py orphan &")
print("ready", flush=True)
time.sleep(60)
"""


def test_memory_is_that_of_all_processes_and_disk_that_of_all_files(tmp_path):
    (tmp_path / "code.py").write_text(ALLOCATES)
    process = sleeper(tmp_path, ALLOCATES)
    try:
        for _ in range(2):
            assert process.stdout.readline() == b"ready\n"
        both = usage.memory(process.pid, 1 << 50)
        assert 80 << 20 < both < 160 << 20
        assert 80 << 20 < usage.memory(process.pid, 1) <= both
        assert psutil.Process(process.pid).children() == [], "the other one's parent has ended"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert usage.memory(process.pid, 1) == 0
    (tmp_path / "deep").mkdir()
    before = usage.disk(tmp_path)
    (tmp_path / "deep" / "file").write_bytes(os.urandom(1 << 20))
    (tmp_path / "link").symlink_to(sys.executable)
    assert 1 << 20 <= usage.disk(tmp_path) - before < 2 << 20


def test_measuring_is_seldom(tmp_path, monkeypatch):
    now, measured = 0.0, []
    monkeypatch.setattr(limits.usage, "memory", lambda *_: measured.append("memory") or 0)
    monkeypatch.setattr(limits.usage, "disk", lambda *_: measured.append("disk") or 0)
    watch = limits.Watch(Limits(study_memory=1, study_seconds=20), 1, tmp_path, lambda: now)
    while now < 10:
        assert watch.exceeded() is None
        now += 0.1
    assert (measured.count("memory"), measured.count("disk")) == (10, 2)
    now = 20.5
    assert watch.exceeded().message == "It ran for 20.5 s, and may run for 20.0 s. Finished trials are kept."


def test_a_worker_loads_nothing_heavy():
    code = "import sys, safs.service.worker.worker, safs.cli.worker_command, safs.service.home; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "ray", "smac", "fastapi"} & set(loaded)
