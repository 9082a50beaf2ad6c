"""A real server in a process of its own, and the databases that it can have."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import create_engine, text

from benchmarks.service_server import Server, free_port
from safs.config.schema import Config
from safs.service.store.database import Database
from tests.safs.conftest import TINY

_START_S = 60


def eventually(holds, seconds=150, said=lambda: "it never comes", every=0.05):
    """Wait until something holds, and return what it returned; `said` tells what there was instead."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, said()
        time.sleep(every)
    return found


def until_its_end(connection, end):
    """Return what comes over a connection, up to this end of it."""
    said = b""
    while not said.endswith(end):
        piece = connection.recv(65_536)
        assert piece, said
        said += piece
    return said


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that is shared by all tests that only read and submit; nothing runs its studies. Its data is its own."""
    home = tmp_path_factory.mktemp("home")
    (home / "data").mkdir()
    with Server(home, SAFS_DATA_ROOT=str(home / "data")) as made:
        yield made.start(worker=False)
        assert made.stop() == 130, made.said()
    log = made.said()
    assert "Traceback" not in log
    assert "leaked" not in log
    assert not [secret for secret in made.secrets if secret in log]


@pytest.fixture(scope="module")
def client(server, request):
    """Somebody who may submit, of their own for each file of tests."""
    with server.client(server.make_token(request.node.name)) as made:
        yield made


@pytest.fixture(scope="session")
def tiny_config():
    """The config of the small study, as YAML."""
    return Config.from_mapping(TINY).to_yaml()


class Postgres:
    """A PostgreSQL of our own, on a free port, in a temporary folder; it can be stopped and started again.

    Attributes:
        url: of its database.
    """

    def __init__(self):
        self._programs = _postgres_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="safs-postgres-"))
        user = {}
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            user = {"user": "nobody"}
            shutil.chown(self._folder, "nobody")
        self._port = free_port()
        self.url = f"postgresql+psycopg://safs@127.0.0.1:{self._port}/postgres"
        self._quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._folder, **user}
        data = self._folder / "data"
        make = [self._programs / "initdb", "-D", data, "-U", "safs", "-A", "trust", "--no-sync"]
        subprocess.run(make, check=True, **self._quiet)
        self._process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *error):
        self.stop()
        shutil.rmtree(self._folder)

    def start(self):
        options = ["-p", str(self._port), "-k", self._folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [self._programs / "postgres", "-D", self._folder / "data", *options]
        self._process = subprocess.Popen(command, **self._quiet)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop(signal.SIGQUIT)
            raise

    def stop(self, number=signal.SIGINT):
        """Stop it: by SIGINT at once, by SIGQUIT without cleaning up."""
        self._process.send_signal(number)
        self._process.wait()

    def _wait_until_it_answers(self):
        engine = create_engine(self.url)
        until = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(Exception), engine.connect():
                break
            assert self._process.poll() is None, "it ended"
            assert time.monotonic() < until, "it does not start"
            time.sleep(0.1)
        engine.dispose()


@pytest.fixture(scope="session")
def postgres():
    """The URL of a PostgreSQL of our own."""
    with Postgres() as made:
        yield made.url


@pytest.fixture(scope="session")
def s3():
    """The address of an S3 of our own, on a free port, that keeps its objects in memory."""
    port = free_port()
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", code], **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        with httpx2.Client(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    client.get(f"{url}/moto-api/data.json")
                    break
                assert process.poll() is None, "it ended"
                assert time.monotonic() < until, "it does not start"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def s3_environment(s3):
    """The variables by which a process finds that S3."""
    variables = {"AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "the-secret-key"}
    return variables | {"AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@pytest.fixture
def bucket(s3_environment, monkeypatch):
    """The URL of an empty folder of a bucket, which this process finds."""
    import fsspec

    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").makedirs("safs", exist_ok=True)
    return f"s3://safs/{os.urandom(6).hex()}/folder"


def _postgres_programs():
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.fail("PostgreSQL is not installed; `.ci/run` installs it, or: apt-get install postgresql")


@pytest.fixture(params=["sqlite", "postgres"])
def unmigrated(request, tmp_path):
    """A database of each kind without any tables."""
    if request.param == "sqlite":
        made = Database.in_folder(tmp_path)
    else:
        url = request.getfixturevalue("postgres")
        name = "db" + re.sub(r"\W", "", tmp_path.name).lower() + os.urandom(4).hex()
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        made = Database(url.rpartition("/")[0] + f"/{name}")
    yield made
    made.close()


@pytest.fixture
def database(unmigrated):
    """An empty database of each kind."""
    unmigrated.migrate()
    return unmigrated
