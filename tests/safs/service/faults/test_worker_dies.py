"""A worker that dies at each point of a study: as it takes it, starts it, stores its trials, gives it back, ends it."""

import signal

import pytest

from safs.service.states import State

TAKING = [
    "safs.service.store.leases:claim after",
    "safs.service.worker.job:leave_mark before",
    "safs.service.store.trials:add after",
]
GIVING_BACK = "safs.service.worker.ledger:Ledger._end after"
ENDING = ["safs.service.worker.ledger:Ledger._end after", "safs.service.worker.ledger:Ledger.end after"]


def die(workers, study, points, point):
    """Start a worker that dies at a point of a study, and wait until it has and its lease has run out."""
    points.arm(point)
    worker = workers.worker(entry=points.entry)
    assert worker.wait(90) == -signal.SIGKILL, worker.said.read_text()
    points.disarm()
    workers.lose(worker, study)


def test_as_it_takes_a_study_starts_it_and_stores_its_trials(workers, smallest, sorts, trap):
    points = trap(TAKING)
    study = workers.submit(smallest)
    for point in TAKING:
        die(workers, study, points, point)
        assert workers.get(study).state is State.RUNNING, "until its lease is taken back"
    workers.worker()
    workers.wait(study, State.SUCCEEDED)
    workers.same(study, sorts[1].undisturbed)
    assert workers.states(study) == ["QUEUED", "RUNNING"] * 4 + ["SUCCEEDED"]
    workers.true()


@pytest.mark.thorough
def test_as_it_gives_a_study_back_and_ends_it(workers, smallest, sorts, trap):
    points = trap(ENDING)
    study = workers.submit(smallest)
    leaving = workers.worker(entry=points.entry)
    workers.reached(study, "uniform", 1)
    points.arm(GIVING_BACK)
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(60) == -signal.SIGKILL
    points.disarm()
    workers.lose(leaving, study)
    for point in ENDING:
        die(workers, study, points, point)
    if workers.get(study).state is not State.SUCCEEDED:
        pytest.fail("what was stored before it died is not there")
    workers.same(study, sorts[1].undisturbed)
    assert workers.states(study) == ["QUEUED", "RUNNING"] * 3 + ["SUCCEEDED"]
    workers.true()


def test_canceling_a_study_whose_worker_has_died_cancels_it(workers, smallest, trap):
    points = trap(TAKING)
    study = workers.submit(smallest)
    die(workers, study, points, TAKING[0])
    workers.cancel(study)
    assert workers.get(study).state is State.RUNNING
    workers.worker()
    assert workers.wait(study, State.CANCELED).ended is not None
    workers.true()
