"""Real workers on a real database: submitted to directly, killed, stopped, looked at."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from benchmarks.service_truth import journal
from safs.config.schema import Config
from safs.service.ids import new_id
from safs.service.states import ENDED, State
from safs.service.storage.local import LocalStorage
from safs.service.store import events, leases, studies, submissions, tokens, trials
from safs.service.store.database import Database
from safs.service.worker.ledger import Ledger
from safs.study import Study
from tests.safs.conftest import ROOT
from tests.safs.service.conftest import eventually
from tests.safs.service.store.conftest import age

SMALLER = {
    "train": {"epochs": 1},
    "stage1": {"iterations": 2, "finalists": 2},
    "stage2": {"trials": 2},
    "report": {"seeds": 1},
}


@pytest.fixture(scope="session")
def values(tiny_values):
    """Returns the values of the smallest study that has all of its parts."""
    return tiny_values(**SMALLER)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, values):
    """The run directory of that study, run to its end in this process. Read only."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    Study(Config.from_mapping(values), folder).run()
    return folder


@pytest.fixture
def database_url(tmp_path):
    """Where the database is: SQLite's file."""
    return f"sqlite:///{tmp_path / 'safs.db'}"


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


class Service:
    """A database, a storage, and workers of this test.

    A study's run directory is looked at by `run` on local storage only; `fetched` gives a copy of any.

    Attributes:
        environment: further variables of the workers started next.
    """

    def __init__(self, database, url, folder):
        self.environment = {}
        self.database = database
        self.storage = LocalStorage(folder / "studies")
        self._url = url
        self._folder = folder
        self._workers = []
        with database.writing() as connection:
            self.token = tokens.find(connection, tokens.create(connection, "tests", tokens.Scope.SUBMIT))

    def submit(self, values, **submission):
        """Submit a study and return its id."""
        text, study_id = Config.from_mapping(values).to_yaml(), new_id()
        with self.storage.incoming() as incoming:
            (incoming.folder / "config.yaml").write_text(text, encoding="utf-8")
            incoming.keep(study_id)
        default = {"name": "tiny", "priority": 0, "config": text, "model": "lenet5", "data": "digits", "gpus": 0.0}
        default |= {"searcher": "lahc", "checkpoint": None, "mask": None, "idempotency_key": None, "request": "0" * 64}
        new = submissions.Submission(**(default | submission))
        with self.database.writing() as connection:
            return submissions.submit(connection, self.token.id, new, id=study_id, most_queued=None)

    def worker(self, *arguments, entry=("-m", "safs"), home=None, **settings):
        """Start `safs worker` and return its process, whose stderr goes to a file `said`.

        Args:
            *arguments: of the command.
            entry: what Python runs for the command `safs`.
            home: the worker's; by default the folder of this test.
            **settings: of the worker. Its leases last for long by default: it may starve beside other tests.
        """
        number = len(self._workers)
        file = self._folder / f"settings{number}.yaml"
        # Beside other tests, studies that stand back would starve.
        file.write_text(yaml.safe_dump({"storage": str(self._folder / "studies"), "niceness": 0} | settings))
        command = [sys.executable, *entry, "worker", "--home", home or self._folder, "--settings", file, *arguments]
        said = self._folder / f"worker{number}.txt"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "SAFS_DATABASE": self._url} | self.environment
        with said.open("wb") as out:
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=ROOT, env=environment)
        worker.said = said
        self._workers.append(worker)
        return worker

    def lose(self, worker, study_id):
        """Kill a worker, wait until its study's process has ended, and let its lease run out at once."""
        worker.kill()
        worker.wait()
        self.nothing_runs()
        age(self.database, study_id, 3600)

    def get(self, study_id):
        with self.database.reading() as connection:
            return studies.get(connection, study_id)

    def wait(self, study_id, *states, seconds=150):
        """Wait until a study is in one of these states, of those in which it may stay, and return it."""

        def there():
            study = self.get(study_id)
            assert study.state in states or study.state not in ENDED, (study, self.log(study_id))
            return study if study.state in states else None

        return eventually(there, seconds, lambda: (self.get(study_id), self.log(study_id)))

    def reached(self, study_id, phase, count):
        """Wait until the journal of a study holds so many trials of a phase."""

        def there():
            study = self.get(study_id)
            reached = sum(record["phase"] == phase for record in self.journal(study_id)) >= count
            assert reached or study.state not in ENDED, (study, self.log(study_id))
            return reached

        eventually(there, said=lambda: self.log(study_id), every=0.01)

    def fetched(self, study_id, folder):
        """Return a folder into which all files of a study were copied from the storage."""
        files = self.storage.files(study_id, self.get(study_id).files)
        for one in files.artifacts():
            path = folder / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files.artifact(one.path).read(0, one.size))
        return folder

    def run(self, study_id):
        return self.storage.folder(study_id) / "run"

    def journal(self, study_id):
        """Return the trials in the journal of a study that may be running."""
        return journal(self.run(study_id))

    def log(self, study_id):
        log = self.storage.files(study_id, self.get(study_id).files).log()
        return log.read(0, log.size).decode() if log is not None else ""

    def states(self, study_id):
        """Return the states in which a study was, in order."""
        with self.database.reading() as connection:
            happened = events.since(connection, 0, study_id=study_id, limit=10_000)
        return [event.data["state"] for event in happened if event.kind == "state"]

    def trials(self, study_id):
        with self.database.reading() as connection:
            return trials.after(connection, study_id, 0)

    def processes(self):
        """Return the studies' processes; one that is still a copy of the worker that starts it is not there yet."""
        found = []
        for process in self._in_folder():
            with suppress(psutil.Error):
                parent = process.parent()
                if process.cmdline() not in ([], parent.cmdline() if parent is not None else []):
                    found.append(process)
        return found

    def nothing_runs(self, seconds=60):
        """Wait until nothing runs in this test's folder."""
        eventually(lambda: not self._in_folder(), seconds, self._in_folder)

    def _in_folder(self):
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self._folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def check_finished(self, study_id, reference):
        """A study has ended as the undisturbed one did, and the database says the same as its files."""
        study = self.get(study_id)
        assert study.state is State.SUCCEEDED, (study, self.log(study_id))
        for name in ("summary.json", "best/model.safetensors", "best/activations.json"):
            assert (self.run(study_id) / name).read_bytes() == (reference / name).read_bytes(), name
        ids = [record["id"] for record in self.journal(study_id)]
        assert len(set(ids)) == len(ids), "no trial ran twice"
        assert [trial["id"] for trial in self.trials(study_id)] == ids
        assert [trial["n"] for trial in self.trials(study_id)] == list(range(1, len(ids) + 1))
        assert study.summary["rows"][0]["name"] == "dense"
        assert (study.progress["done"], study.progress["running"], study.progress["trials"]) == (1.0, [], len(ids))
        assert (study.lease, study.leased_until, study.worker, study.cancelling) == (None, None, None, False)
        assert not (self.storage.folder(study_id) / ".process.json").exists()

    def close(self):
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
            worker.stdin.close()
        self.nothing_runs()


@pytest.fixture
def service(database, database_url, tmp_path):
    made = Service(database, database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def held(service, values):
    """The lease of a study that runs, and who writes under it."""
    service.submit(values)
    lease = leases.claim(service.database, "a", 60)
    return lease, Ledger(service.database, lease)


def started(code, folder):
    """Start Python on this code, in a folder and a session of its own, and return the process."""
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=subprocess.PIPE)
