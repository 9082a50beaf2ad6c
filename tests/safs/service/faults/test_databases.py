"""PostgreSQL that is stopped in the middle, and workers that share many studies on it."""

import fcntl
import json
import os
import signal

import pytest

from benchmarks.service_place import HURRIED, Place
from benchmarks.service_truth import differences, falsehoods
from safs.service.states import State
from tests.safs.conftest import ROOT
from tests.safs.service.conftest import eventually

RECORDER = """
import fcntl, json, os, sys
if "safs.service.worker.study_process" in sys.orig_argv:
    study = os.path.basename(os.getcwd())
    lock = os.open(f"{folder}/{study}.lock", os.O_CREAT | os.O_RDWR)  # which the kernel drops when the process is gone
    alone = True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        alone = False
    with open(f"{folder}/record.jsonl", "a") as record:
        record.write(json.dumps({"study": study, "pid": os.getpid(), "worker": os.getppid(), "alone": alone}) + "\\n")
"""


@pytest.fixture
def recorded(tmp_path):
    """A folder in which every study's process, as the first thing that it does, notes whether it is the only one."""
    folder = tmp_path / "recorder"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(RECORDER.replace("{folder}", str(folder)))
    return folder


def notes(folder):
    return [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not hasattr(fcntl, "flock"), reason="needs locks that end with their process")
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_workers_share_studies_and_are_killed_and_no_study_runs_twice(workers, smallest, sorts, recorded):
    workers.environment = {"PYTHONPATH": os.pathsep.join([str(recorded), str(ROOT)])}
    studies = [workers.submit(smallest) for _ in range(8)]
    settings = {"concurrency": 2, "lease_seconds": 2}
    running = [workers.worker(**settings) for _ in range(2)]
    for number in range(3):
        workers.reached(studies[number], "uniform", 1)
        victim = eventually(lambda: workers.busy(running))
        victim.kill()
        running.remove(victim)
        running.append(workers.worker(**settings))
    eventually(lambda: all(workers.get(study).state is State.SUCCEEDED for study in studies), 400)
    for study in studies:
        workers.same(study, sorts[1].undisturbed)
    workers.true()
    made = notes(recorded)
    assert all(note["alone"] for note in made), made
    begun = {study: sum(note["study"] == study for note in made) for study in studies}
    attempts = {study: workers.states(study).count("RUNNING") for study in studies}
    # One that was killed as it began may not have noted anything; none began without a lease.
    assert all(1 <= begun[study] <= attempts[study] for study in studies), (begun, attempts)
    assert sum(attempts.values()) > len(studies), "some were taken over"
    assert len({note["worker"] for note in made}) > 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="fast"), pytest.param(signal.SIGQUIT, id="crash")],
)
def test_a_service_goes_on_when_postgresql_comes_back(number, own_postgres, tmp_path, sorts):
    with (
        Place(tmp_path / "home", **HURRIED | {"lease_seconds": 4}, database=own_postgres.url) as place,
        place.client(place.token) as client,
    ):
        place.start()
        files = {"config": (None, sorts[1].config)}
        study = client.post("/v1/studies", files=files, headers={"Idempotency-Key": "one"}).raise_for_status().json()
        assert place.wait_for_a_trial(90)
        own_postgres.stop(number)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        for answer in (client.get("/v1/studies"), client.post(f"/v1/studies/{study['id']}/cancel")):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert answer.headers["retry-after"] == "5"
        refused = client.post("/v1/studies", files=files, headers={"Idempotency-Key": "two"})
        assert refused.status_code == 503
        # Nobody may run a study whose lease ran out: the worker ends it by itself.
        eventually(lambda: not place.running())
        eventually(lambda: "LOST: its lease ran out" in place.said(), said=place.said)
        own_postgres.start()
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert [one["id"] for one in place.listed(client)] == [study["id"]]

        def succeeded():
            now = client.get(f"/v1/studies/{study['id']}").json()
            assert now["state"] in ("QUEUED", "RUNNING", "SUCCEEDED"), now
            return now if now["state"] == "SUCCEEDED" else None

        assert eventually(succeeded, said=place.said)["attempts"] == 2
        assert differences(place.run_of(study["id"]), sorts[1].undisturbed) == []
        assert falsehoods(place.database, place.studies) == []
        assert "Traceback" not in place.said()
