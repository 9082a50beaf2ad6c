"""What nobody expected of one study, and leases that are lost at the wrong moment."""

import shutil
import threading

import pytest
from sqlalchemy.exc import DataError

from safs.service.settings import ServiceSettings
from safs.service.states import ENDED, Reason, State
from safs.service.store import leases
from safs.service.worker import job as jobs
from safs.service.worker.job import Job
from safs.service.worker.keeper import Held
from safs.service.worker.ledger import Ledger
from safs.service.worker.said import How, Said
from safs.service.worker.worker import Worker


class Lines(list):
    def __str__(self):
        return "\n".join(self)


@pytest.fixture
def run(service):
    """Returns what runs studies in this process until something holds, and returns what the worker said."""

    def run(until):
        said = Lines()
        settings = ServiceSettings(concurrency=2)
        thread = threading.Timer(60, lambda: said.append("too long"))
        thread.start()
        Worker(service.database, service.storage, settings, "here", said.append).run(
            lambda: until(said) or "too long" in said
        )
        thread.cancel()
        assert "too long" not in said
        return said

    return run


@pytest.fixture
def pair(service, values, monkeypatch):
    """Two studies that would fail at once, as their files are gone; of the first, the worker cannot even know that."""
    found = [service.submit(values) for _ in range(2)]
    for study in found:
        shutil.rmtree(service.storage.folder(study))
    begin = Job._begin

    def trip(job):
        if job.study_id == found[0]:
            raise ZeroDivisionError("by nobody")
        begin(job)

    monkeypatch.setattr(Job, "_begin", trip)
    return found


def test_an_error_that_nobody_expected_ends_its_study_and_no_other(service, pair, run):
    said = run(lambda said: all(service.get(study).state in ENDED for study in pair))
    first, second = (service.get(study) for study in pair)
    assert (first.state, first.reason) == (State.FAILED, Reason.ERROR)
    assert "an error that safs did not expect (ZeroDivisionError: by nobody)" in first.message
    assert second.message == "Its files are gone; submit it again."
    assert f"{first.id} met an error that was not expected\nTraceback" in str(said)


def test_a_study_that_cannot_even_fail_is_dropped(service, pair, run, monkeypatch):
    end = Ledger.end

    def trip(ledger, outcome, summary):
        if outcome.reason is Reason.ERROR and "nobody" in outcome.message:
            raise DataError("", {}, ValueError("unfit"))
        return end(ledger, outcome, summary)

    monkeypatch.setattr(Ledger, "end", trip)
    lost = f"{pair[0]} LOST: its lease ran out"
    said = run(lambda said: lost in said and service.get(pair[1]).state in ENDED)
    assert sum("Traceback" in line for line in said) == 2
    assert service.get(pair[0]).state is State.RUNNING  # until its lease is taken back


class Process:
    """A process that has ended, whose number may be another's by now."""

    pid = 2**22 + 1
    progress = None
    said = Said(How.OK)
    kills = 0

    def __init__(self, folder, niceness):
        pass

    def poll(self):
        return 0

    def kill(self):
        Process.kills += 1

    def close(self):
        pass


def test_a_process_that_has_ended_is_not_killed_when_the_lease_is_lost(service, values, monkeypatch):
    service.submit(values)
    held = Held(leases.claim(service.database, "here", 60), 1e9)
    monkeypatch.setattr(jobs, "StudyProcess", Process)
    job = Job(held, service.storage.workplace(held.lease), service.database, ServiceSettings(), "here")
    while job.outcome is None:
        job.step()
    held.lose()
    assert Process.kills == 0
    assert job.step()
