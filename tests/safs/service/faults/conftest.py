"""A service whose processes die at chosen points, on both databases, and what its studies come to undisturbed."""

import contextlib
import os
import re
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from benchmarks.service_kinds import SMALLEST, kinds
from benchmarks.service_place import HURRIED, Place
from benchmarks.service_truth import differences, falsehoods
from safs.service.states import State
from safs.service.store import lifecycle, studies
from safs.service.store.database import Database
from tests.safs.engines.conftest import left_behind
from tests.safs.service.conftest import Postgres
from tests.safs.service.worker.conftest import Service

__all__ = ["left_behind"]

DYING = Path(__file__).with_name("dying.py")


@pytest.fixture(scope="session")
def sorts(tmp_path_factory):
    """Two sorts of study, each with an undisturbed run: the first sends a checkpoint, the second trains."""
    return kinds(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def place(tmp_path):
    """A server of this test, which is not started yet; its worker keeps its leases though it starves."""
    with Place(tmp_path / "home", **HURRIED | {"lease_seconds": 30}) as made:
        yield made


class Trap:
    """Where `safs` is to die: nowhere, until it is armed."""

    def __init__(self, file, points):
        self._file = file
        self.entry = [str(DYING), str(file), *points, "--"]

    def arm(self, point):
        part = self._file.with_suffix(".part")
        part.write_text(point)
        part.rename(self._file)

    def disarm(self):
        self._file.unlink(missing_ok=True)


@pytest.fixture
def trap(tmp_path):
    """Returns a trap of some points."""
    return lambda points: Trap(tmp_path / "armed", points)


@pytest.fixture
def own_postgres():
    """A PostgreSQL that this test may stop."""
    with Postgres() as made:
        yield made


@pytest.fixture
def new_postgres(postgres, tmp_path):
    """The URL of an empty database on the shared PostgreSQL."""
    name = "faults" + re.sub(r"\W", "", tmp_path.name).lower()[:30] + os.urandom(4).hex()
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgres.rpartition("/")[0] + f"/{name}"


class Workers(Service):
    """A database, a storage, and workers of this test, and what is to be true of them."""

    def cancel(self, study):
        with self.database.writing() as connection:
            assert lifecycle.cancel(connection, studies.get(connection, study))

    def busy(self, among):
        """Return one of these workers that runs a study just now, or None."""
        parents = set()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                parents.add(process.ppid())
        return next((worker for worker in among if worker.pid in parents), None)

    def true(self):
        """Check that the database, the files and the events agree, once what lost its worker has been taken back."""
        assert falsehoods(self.database, self._folder / "studies") == []

    def same(self, study, undisturbed):
        assert self.get(study).state is State.SUCCEEDED
        assert differences(self.run(study), undisturbed) == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.thorough)])
def workers(request, tmp_path):
    """Workers on each kind of database."""
    sqlite = f"sqlite:///{tmp_path / 'safs.db'}"
    yield from _workers(sqlite if request.param == "sqlite" else request.getfixturevalue("new_postgres"), tmp_path)


def _workers(url, folder):
    database = Database(url)
    database.migrate()
    made = Workers(database, url, folder)
    yield made
    made.close()
    database.close()


@pytest.fixture
def make_workers():
    """Returns what gives workers on a database, and closes them."""
    return _workers


@pytest.fixture(scope="session")
def smallest():
    """Returns the values of the smallest study."""
    return SMALLEST
