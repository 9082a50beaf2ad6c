"""What a study may take, and what is said of one that failed."""

import threading

import pytest

from safs.journal import Journal
from safs.service.settings import Limits, ServiceSettings
from safs.service.states import ENDED, State
from safs.service.worker import job, usage
from safs.service.worker.limits import Watch
from safs.service.worker.worker import Worker
from tests.safs.service.conftest import eventually


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
        eventually(lambda: "Another process is running this study" in service.log(study))
    service.reached(study, "dense", 1)
    assert service.states(study) == ["QUEUED", "RUNNING"]


def test_a_study_that_does_not_stop_is_killed(service, values, monkeypatch):
    monkeypatch.setattr(job, "GRACE_S", 0.5)
    study = service.submit(values)
    settings = ServiceSettings(limits=Limits(study_seconds=2.0), niceness=0)
    worker = Worker(service.database, service.storage, settings, "here")
    thread = threading.Thread(target=worker.run, args=[lambda: service.get(study).state in ENDED])
    thread.start()
    eventually(service.processes)[0].suspend()
    thread.join(60)
    assert service.get(study).reason == "TIMEOUT"
    service.nothing_runs(seconds=0)


def test_measuring_is_seldom(tmp_path, monkeypatch):
    now, measured = 0.0, []
    monkeypatch.setattr(usage, "memory", lambda *_: measured.append("memory") or 0)
    monkeypatch.setattr(usage, "disk", lambda *_: measured.append("disk") or 0)
    watch = Watch(Limits(study_memory=1, study_seconds=20), 1, tmp_path, lambda: now)
    while now < 10:
        assert watch.exceeded() is None
        now += 0.1
    assert (measured.count("memory"), measured.count("disk")) == (10, 2)
    now = 20.5
    assert watch.exceeded().message == "It ran for 20.5 s, and may run for 20.0 s. Finished trials are kept."
