"""Workers that are left in peace, and what they do when they are asked to stop something."""

import signal
import subprocess
import sys

from safs.service.states import State
from safs.service.store import lifecycle, studies


def test_a_study_is_run_to_its_end(service, values, undisturbed):
    study = service.submit(values)
    worker = service.worker()
    service.wait(study, State.SUCCEEDED)
    service.check_finished(study, undisturbed)
    assert service.states(study) == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert service.get(study).attempts == 1
    assert "best_single" in service.log(study), "the table"
    assert str(service.storage.folder(study).parent) not in service.log(study), "where it lies is the server's own"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 130
    assert "Traceback" not in worker.said.read_text()


def test_a_study_is_canceled_and_resumed_and_goes_on_after_its_worker_left(service, values, undisturbed):
    study = service.submit(values)
    worker = service.worker()
    service.reached(study, "stage1", 1)
    with service.database.writing() as connection:
        assert lifecycle.cancel(connection, studies.get(connection, study))
    assert service.wait(study, State.CANCELED).ended is not None
    service.nothing_runs(seconds=0)
    assert len(service.trials(study)) == len(service.journal(study))
    with service.database.writing() as connection:
        assert lifecycle.resume(connection, studies.get(connection, study))
    service.wait(study, State.RUNNING)  # first: before the worker saw the cancel, the study may have come that far
    service.reached(study, "safs", 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 130
    service.nothing_runs(seconds=0)
    left = service.get(study)
    assert (left.state, left.attempts, left.message) == (
        State.QUEUED,
        0,
        "Its worker left; it goes on with the next.",
    )
    assert len(service.trials(study)) == len(service.journal(study))
    service.worker()
    service.wait(study, State.SUCCEEDED)
    service.check_finished(study, undisturbed)
    assert service.states(study) == ["QUEUED", "RUNNING", "CANCELED"] + ["QUEUED", "RUNNING"] * 2 + ["SUCCEEDED"]


def test_a_worker_loads_nothing_heavy():
    code = "import sys, safs.service.worker.worker, safs.cli.worker_command, safs.service.home; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "ray", "smac", "fastapi"} & set(loaded)
