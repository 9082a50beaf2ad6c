"""Workers that are killed, stand still, or lose the database: the study ends as if nothing had happened."""

import os
import shutil
import signal
import sqlite3

import psutil
import pytest

from safs.service.states import State
from tests.safs.service.conftest import eventually


def test_a_study_whose_worker_is_killed_three_times_ends_as_an_undisturbed_one(service, values, undisturbed):
    study = service.submit(values)
    worker = service.worker()
    eventually(service.processes)
    assert not service.journal(study)
    service.lose(worker, study)
    for phase, count in (("stage1", 1), ("final", 3)):
        worker = service.worker()
        service.reached(study, phase, count)
        service.lose(worker, study)
    service.worker()
    service.wait(study, State.SUCCEEDED)
    service.check_finished(study, undisturbed)
    assert service.get(study).attempts == 4
    assert service.states(study) == ["QUEUED", "RUNNING"] * 4 + ["SUCCEEDED"]


def test_a_worker_leaves_with_the_server_that_started_it(service, values):
    study = service.submit(values)
    worker = service.worker("--tied")
    eventually(service.processes)
    worker.stdin.close()
    assert worker.wait(timeout=60) == 130
    service.nothing_runs(seconds=0)
    assert service.get(study).state is State.QUEUED


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_worker_that_stood_still_for_longer_than_its_lease_changes_nothing(service, values, undisturbed):
    study = service.submit(values)
    first = service.worker(lease_seconds=4)
    service.reached(study, "uniform", 1)
    (process,) = service.processes()
    first.send_signal(signal.SIGSTOP)
    process.suspend()  # with its worker, as in a container that is paused: or it might end before the lease does
    second = service.worker()
    eventually(lambda: service.get(study).attempts == 2)
    assert service.get(study).worker.endswith(f":{second.pid}")
    service.reached(study, "stage1", 1)
    assert process.status() == psutil.STATUS_ZOMBIE, "who takes over on the same machine kills what is left"
    first.send_signal(signal.SIGCONT)
    service.wait(study, State.SUCCEEDED)
    service.check_finished(study, undisturbed)
    assert service.states(study) == ["QUEUED", "RUNNING"] * 2 + ["SUCCEEDED"]
    eventually(lambda: "LOST: its lease ran out" in first.said.read_text(), said=first.said.read_text)


@pytest.mark.thorough
def test_a_worker_waits_for_its_database_but_not_with_a_study_whose_lease_ran_out(
    service, values, undisturbed, request
):
    study = service.submit(values)
    worker = service.worker(lease_seconds=4)
    service.reached(study, "uniform", 1)
    lock = sqlite3.connect(service.database.engine.url.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    service.nothing_runs()
    eventually(lambda: "LOST: its lease ran out" in worker.said.read_text(), said=worker.said.read_text)
    lock.execute("ROLLBACK")
    lock.close()
    service.wait(study, State.SUCCEEDED)
    service.check_finished(study, undisturbed)
    assert worker.poll() is None
    assert service.get(study).attempts == 2


def test_a_study_whose_process_dies_goes_on_and_fails_when_it_always_does(service, values):
    study = service.submit(values)
    service.worker()
    for _ in range(5):
        process = eventually(service.processes)[0]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    ended = service.wait(study, State.FAILED)
    assert (ended.reason, ended.attempts) == ("LOST", 5)
    assert "killed by SIGKILL. So it went 5 times in a row; its finished trials are kept." in ended.message


@pytest.mark.thorough
def test_two_workers_share_studies_and_none_runs_twice_at_a_time(service, values):
    gone = [service.submit(values) for _ in range(40)]  # these fail as soon as they begin
    for study in gone:
        shutil.rmtree(service.storage.folder(study))
    run = [service.submit(values | {"data": "cifar10"}) for _ in range(4)]  # whose data root is none
    started = [service.worker(concurrency=3) for _ in range(2)]
    for study in [*gone, *run]:
        ended = service.wait(study, State.FAILED)
        assert (ended.reason, ended.attempts) == ("ERROR", 1)
        assert service.states(study) == ["QUEUED", "RUNNING", "FAILED"]
    for study in run:
        assert service.log(study).count("---") == 1
        assert "Another process" not in service.log(study)
    begun = [worker.said.read_text().count("begins") for worker in started]
    assert sum(begun) == 44
    assert min(begun) > 0
