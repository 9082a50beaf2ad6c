"""What a study may take, and what is said of one that failed."""

import threading
import time

import pytest

from safs.journal import Journal
from safs.service.settings import Limits, ServiceSettings
from safs.service.states import ENDED, State
from safs.service.worker import job
from safs.service.worker.worker import Worker


@pytest.mark.parametrize(
    ("limits", "reason", "sentence"),
    [
        ({"study_seconds": 2.0}, "TIMEOUT", "and may run for 2.0 s. Finished trials are kept."),
        ({"study_memory": 60 * 2**20}, "OOM", "of memory, and may use 60.0 MiB. Finished trials are kept."),
        ({"study_disk": 100}, "DISK", "and may take 100 bytes. Finished trials are kept."),
    ],
)
def test_a_study_that_takes_too_much_is_ended(service, values, limits, reason, sentence):
    study = service.submit(values)
    service.worker(limits=limits)
    ended = service.wait(study, State.FAILED)
    assert ended.reason == reason
    assert ended.message.endswith(sentence)
    assert ended.ended is not None
    service.nothing_runs(seconds=0)


def test_what_a_study_says_of_its_failure_is_kept(service, values):
    study = service.submit(values | {"model": values["model"] | {"name": "lenet6"}})
    service.worker()
    ended = service.wait(study, State.FAILED)
    assert ended.reason == "ERROR"
    assert "lenet5" in ended.message
    assert f"Error: {ended.message}" in service.log(study)


def test_a_study_waits_for_another_process_that_still_runs_it(service, values):
    """Such as that of a lost worker on another machine, which shares the storage."""
    study = service.submit(values)
    service.run(study).mkdir()
    with Journal(service.run(study) / "journal.jsonl"):
        service.worker()
        until = time.monotonic() + 60
        while service.log(study).count("Another process is running this study") < 1:
            assert time.monotonic() < until, service.log(study)
            time.sleep(0.05)
    service.reached(study, "dense", 1)
    assert service.states(study) == ["QUEUED", "RUNNING"]


def test_a_study_that_does_not_stop_is_killed(service, values, monkeypatch):
    monkeypatch.setattr(job, "GRACE_S", 0.5)
    study = service.submit(values)
    settings = ServiceSettings(limits=Limits(study_seconds=2.0), lease_seconds=20, niceness=0)
    worker = Worker(service.database, service.storage, settings, "here")
    thread = threading.Thread(target=worker.run, args=[lambda: service.get(study).state in ENDED])
    thread.start()
    until = time.monotonic() + 30
    while not (processes := service.processes()):
        assert time.monotonic() < until
        time.sleep(0.01)
    processes[0].suspend()
    thread.join(30)
    assert service.get(study).reason == "TIMEOUT"
    service.nothing_runs(seconds=0)
