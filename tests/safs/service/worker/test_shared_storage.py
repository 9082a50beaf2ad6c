"""Workers of several machines, with homes of their own, that share a database and a storage, but no disk."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import yaml

from benchmarks.service_server import Server
from benchmarks.service_truth import journal
from safs.config.schema import Config
from safs.service.settings import ServiceSettings
from safs.service.states import State
from safs.service.storage.bucket import AwayError, Bucket
from safs.service.storage.opening import open_storage
from safs.service.worker.worker import Worker
from tests.safs.conftest import ROOT
from tests.safs.service.conftest import eventually
from tests.safs.service.storage.conftest import everything
from tests.safs.service.store.conftest import age

RESULTS = ("summary.json", "best/model.safetensors", "best/activations.json")


def ids(run):
    return [trial["id"] for trial in journal(run)]


class Machine:
    """A machine with a worker: it knows the address of the database and of the storage, and has nothing else."""

    def __init__(self, home, environment):
        self.home = home
        home.mkdir()
        settings = home / "settings.yaml"
        settings.write_text(yaml.safe_dump({"niceness": 0, "carry_seconds": 0.5}))
        self.said = home / "said.txt"
        command = [sys.executable, "-m", "safs", "worker", "--home", str(home), "--settings", str(settings)]
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def machines(tmp_path):
    started = []

    def start(name, environment):
        started.append(Machine(tmp_path / name, environment))
        return started[-1]

    yield start
    for machine in started:
        machine.close()


@pytest.mark.thorough
def test_a_study_whose_machine_is_lost_goes_on_on_another(
    tmp_path, values, undisturbed, machines, bucket, s3_environment
):
    home = tmp_path / "server"
    home.mkdir()
    shared = {"SAFS_DATABASE": f"sqlite:///{home / 'safs.db'}", "SAFS_STORAGE": bucket, **s3_environment}
    environment = os.environ | shared | {"PYTHONPATH": str(ROOT)}
    with Server(home, **shared) as server:
        with server.start(worker=False).client(server.make_token("someone")) as client:
            assert client.get("/readyz").status_code == 200
            form = {"config": (None, Config.from_mapping(values).to_yaml())}
            study = client.post("/v1/studies", files=form).json()["id"]
            url = f"/v1/studies/{study}"
            assert [name for name in everything(bucket) if study in name] == [f"{study}/submitted/config.yaml"]
            assert list((home / "incoming").iterdir()) == []
            first = machines("first", environment)
            eventually(lambda: client.get(f"{url}/trials").json()["trials"], said=first.said.read_text)
            first.process.kill()
            first.process.wait()
            age(server.database, study, 3600)
            before = client.get(f"{url}/trials").json()["trials"]
            second = machines("second", environment)
            eventually(lambda: client.get(url).json()["state"] == "SUCCEEDED", said=second.said.read_text)
            assert client.get(url).json()["attempts"] == 2

            after = client.get(f"{url}/trials").json()["trials"]
            assert after[: len(before)] == before, "with the seconds that they took: they did not run again"
            listed = client.get(f"{url}/artifacts").json()["artifacts"]
            run = tmp_path / "fetched"
            for one in listed:
                path = run / one["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.get(f"{url}/artifacts/{one['path']}").content)
                assert path.stat().st_size == one["size"]
            for name in RESULTS:
                assert (run / name).read_bytes() == (undisturbed / name).read_bytes(), name
            assert ids(run) == ids(undisturbed) == [trial["id"] for trial in after]

            log = client.get(f"{url}/log")
            assert (log.text.count("---"), log.headers["x-complete"]) == (2, "true")
            assert client.get(f"{url}/log", params={"offset": -9}).content == log.content[-9:]
            assert client.get(f"{url}/trials/{after[0]['id']}/log").text
            assert client.get(f"{url}/picture").json()["chosen"]
            whole = client.get(f"{url}/artifacts/report.html")
            some = {"Range": "bytes=100-199", "If-Range": whole.headers["etag"]}
            part = client.get(f"{url}/artifacts/report.html", headers=some)
            assert (part.status_code, part.content) == (206, whole.content[100:200])
            assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
            assert client.get(f"{url}/artifacts/..%2fsubmitted%2fconfig.yaml").status_code == 404
            eventually(lambda: not list((second.home / "work").iterdir()))
            assert client.delete(url).status_code == 204
            assert everything(bucket) == [".service"], "whose storage it is"
        assert server.stop() == 130
    for said in (server.log, first.said, second.said):
        assert "Traceback" not in said.read_text()
        assert s3_environment["AWS_SECRET_ACCESS_KEY"] not in said.read_text()


@pytest.fixture
def far(service, tmp_path):
    """The service with a storage that is no local folder."""
    place = f"file://{tmp_path / 'bucket'}"
    service.storage = open_storage(place, tmp_path / "server")
    service.place = place
    worker = service.worker
    service.worker = lambda *arguments, **settings: worker(
        *arguments, **{"storage": place, "carry_seconds": 0.2} | settings
    )
    return service


def check_finished(service, study, run, undisturbed):
    assert service.get(study).state is State.SUCCEEDED
    for name in RESULTS:
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert ids(run) == ids(undisturbed) == [trial["id"] for trial in service.trials(study)]
    assert [trial["n"] for trial in service.trials(study)] == list(range(1, len(ids(run)) + 1))


@pytest.mark.thorough
def test_a_machine_that_stood_still_for_longer_than_its_lease_changes_nothing(far, values, undisturbed, tmp_path):
    study = far.submit(values)
    first = far.worker(home=tmp_path / "first", lease_seconds=4)
    eventually(lambda: far.trials(study), said=first.said.read_text)
    stopped = far.processes()
    first.send_signal(signal.SIGSTOP)
    for process in stopped:
        process.suspend()
    second = far.worker(home=tmp_path / "second")
    eventually(lambda: far.get(study).attempts == 2)
    before = len(far.trials(study))
    eventually(lambda: len(far.trials(study)) > before, said=second.said.read_text)
    first.send_signal(signal.SIGCONT)
    for process in stopped:
        process.resume()
    far.wait(study, State.SUCCEEDED, seconds=180)
    check_finished(far, study, far.fetched(study, tmp_path / "fetched"), undisturbed)
    eventually(lambda: "LOST: its lease ran out" in first.said.read_text(), said=first.said.read_text)
    assert far.states(study) == ["QUEUED", "RUNNING"] * 2 + ["SUCCEEDED"]
    far.nothing_runs()


def test_a_study_has_not_succeeded_before_its_files_are_stored(far, values, undisturbed, tmp_path, monkeypatch):
    away = threading.Event()
    real = Bucket.write

    def write(self, name, content):
        if away.is_set():
            raise AwayError("The storage is on fire")
        real(self, name, content)

    monkeypatch.setattr(Bucket, "write", write)
    study, over, said = far.submit(values), threading.Event(), []
    settings = ServiceSettings(niceness=0)
    worker = Worker(far.database, open_storage(far.place, tmp_path / "home"), settings, "here", said.append)
    thread = threading.Thread(target=worker.run, args=[over.is_set])
    thread.start()
    try:
        eventually(far.processes)
        away.set()
        far.nothing_runs()
        known = [trial["id"] for trial in far.trials(study)]
        eventually(lambda: any("on fire" in line for line in said))
        assert far.get(study).state is State.RUNNING
        assert [trial["id"] for trial in far.trials(study)] == known, "no trial is known that is not stored"
        away.clear()
        far.wait(study, State.SUCCEEDED, seconds=180)
    finally:
        over.set()
        thread.join(60)
    check_finished(far, study, far.fetched(study, tmp_path / "fetched"), undisturbed)
    assert far.states(study) == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert f"{study} can use the storage again" in said


@pytest.mark.thorough
def test_a_canceled_study_can_be_resumed_on_another_machine(far, values, undisturbed, tmp_path):
    from safs.service.store import lifecycle

    study = far.submit(values)
    first = far.worker(home=tmp_path / "first")
    eventually(lambda: far.trials(study), said=first.said.read_text)
    with far.database.writing() as connection:
        assert lifecycle.cancel(connection, far.get(study))
    far.wait(study, State.CANCELED)
    ended = far.trials(study)
    assert ids(far.fetched(study, tmp_path / "canceled")) == [trial["id"] for trial in ended]
    first.send_signal(signal.SIGTERM)
    first.wait(60)
    assert list((tmp_path / "first" / "work").iterdir()) == []
    with far.database.writing() as connection:
        assert lifecycle.resume(connection, far.get(study))
    far.worker(home=tmp_path / "second")
    far.wait(study, State.SUCCEEDED, seconds=180)
    check_finished(far, study, far.fetched(study, tmp_path / "fetched"), undisturbed)
    assert far.trials(study)[: len(ended)] == ended


def test_a_study_whose_files_are_gone_fails(far, values, tmp_path):
    study = far.submit(values)
    far.storage.set_owner(far.database.service())  # else a worker refuses a storage that keeps nothing of the service
    far.storage.remove(study)
    far.worker(home=tmp_path / "first")
    ended = far.wait(study, State.FAILED)
    assert (ended.reason, ended.message) == ("ERROR", "Its files are gone; submit it again.")


def test_what_a_lost_worker_left_on_a_machine_is_removed_by_the_next(far, values, tmp_path):
    study = far.submit(values)
    first = far.worker(home=tmp_path / "first")
    eventually(far.processes)
    far.lose(first, study)
    (left,) = (tmp_path / "first" / "work" / study).iterdir()
    far.worker(home=tmp_path / "second")
    eventually(lambda: far.get(study).attempts == 2)
    far.worker(home=tmp_path / "first")
    eventually(lambda: not left.exists())


def test_a_study_knows_nothing_of_the_storage(far, values, tmp_path, monkeypatch):
    for name in ("SAFS_STORAGE", "AWS_SECRET_ACCESS_KEY", "FSSPEC_S3_KEY"):
        monkeypatch.setenv(name, far.place)
    far.submit(values)
    far.worker(home=tmp_path / "first")
    (process,) = eventually(far.processes)
    known = process.environ()
    assert "PATH" in known, "read"
    assert not {name for name in known if name.startswith(("SAFS_STORAGE", "AWS_", "FSSPEC_"))}
