"""What the commands in docker/service.compose.yaml start is the service: with a real PostgreSQL and a real Ray."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine, make_url, text

from safs.config.schema import Config
from safs.engines.cluster.guard import left
from safs.study import Study
from tests.docker.files import (
    DOCKER,
    ROOT,
    SERVICE_PAGE,
    executable,
    make_secrets,
    services,
)
from tests.safs.conftest import TINY, merged
from tests.safs.engines.conftest import MARK, kill_all
from tests.safs.service import conftest as parts

postgres = parts.postgres
SMALLER = {
    "train": {"epochs": 1}, "stage1": {"iterations": 2, "finalists": 2}, "stage2": {"trials": 2},
    "report": {"seeds": 1},
}  # fmt: skip
NODES = """
import ray
ray.init("auto", log_to_driver=False, logging_level=50)
print(*sorted(float(node["Resources"].get("CPU", 0)) for node in ray.nodes()))
"""
"""Prints how many CPUs each node has."""


@contextlib.contextmanager
def guarded_database(url: str, password: str) -> Iterator[str]:
    """Give the URL of a database of a new role, who is asked for a password, without that."""
    name = f"safs_{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def write_rules(rules: str) -> None:
        # COPY escapes what a line holds, and no line of these rules holds such a character
        lines = ", ".join(f"('{line}')" for line in rules.splitlines() if line and not line.startswith("#"))
        path = connection.execute(text("SHOW hba_file")).scalar_one()
        connection.exec_driver_sql(f"COPY (VALUES {lines}) TO '{path}'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")

    with engine.connect() as connection:
        before = connection.execute(text("SELECT pg_read_file(current_setting('hba_file'))")).scalar_one()
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.exec_driver_sql(f"CREATE DATABASE {name} OWNER {name}")
        write_rules(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
        try:
            made = make_url(url)
            yield f"postgresql://{name}@{made.host}:{made.port}/{name}"
        finally:
            write_rules(before)
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            connection.exec_driver_sql(f"DROP ROLE {name}")
    engine.dispose()


class Containers:
    """Processes that run what the compose file says, in folders of this machine instead of volumes.

    All share one /tmp, as Ray's nodes take the path of the head's. So they find its files before they have their own.

    Args:
        folder: where all of it lies; a short path.
        database: the URL that stands for that of the service `database`.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.secrets = make_secrets(folder)
        self.services = services()
        self.port, self.head = parts.free_port(), parts.free_port()
        for name in ("data", "studies", "bin", "tmp", *self.services):
            (folder / name).mkdir()
        executable(folder / "bin" / "safs", f'#!/bin/sh\nexec {sys.executable} -P -m safs "$@"\n')
        executable(folder / "bin" / "ray", f'#!/bin/sh\nexec {Path(sys.executable).with_name("ray")} "$@"\n')
        for name in ("python", "python3"):
            executable(folder / "bin" / name, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        settings = yaml.safe_load((DOCKER / "service-settings.yaml").read_text("utf-8"))
        settings |= {"data_roots": [str(folder / "data")], "niceness": 0}  # beside other tests, it would starve
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._places = {
            "postgresql://safs@database/safs": database,
            "/etc/safs/settings.yaml": str(folder / "settings.yaml"),
            "/opt/safs/runner.sh": str(DOCKER / "runner.sh"),
            "/run/secrets/ray_token": str(self.secrets / "ray-token"),
            "/run/secrets/": f"{self.secrets}/",
            "head:6379": f"127.0.0.1:{self.head}",
            "localhost:6379": f"127.0.0.1:{self.head}",
            "port=6379": f"port={self.head}",
            "--dashboard-host=0.0.0.0": "--include-dashboard=false",
            "0.0.0.0": "127.0.0.2",  # all that is ours to open here
            "127.0.0.1\", 8000": f'127.0.0.2", {self.port}',
            "port=8000": f"port={self.port}",
            "/studies": str(folder / "studies"),
            "/tmp/": f"{folder / 'tmp'}/",
            "${SAFS_WORKER_CPUS:-2}": "1",
        }  # fmt: skip
        self._theirs = re.compile("|".join(map(re.escape, sorted(self._places, key=len, reverse=True))))
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.2:{self.port}"

    def here(self, word: str) -> str:
        """Return a word of the compose file as it is on this machine."""
        return self._theirs.sub(lambda found: self._places[found[0]], word)

    def environment(self, name: str, **more: str) -> dict[str, str]:
        own = {key: self.here(value) for key, value in self.services[name]["environment"].items()}
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "SAFS_DATA_ROOT": str(self.folder / "data"),
            MARK: str(self.folder), **own, "HOME": str(self.folder / name), "RAY_TMPDIR": str(self.folder / "tmp"),
            "SAFS_TEST_SERVICE": str(self.folder / name), **more,
        }  # fmt: skip

    def words(self, name: str) -> list[str]:
        service = self.services[name]
        return [self.here(word) for word in [*service["entrypoint"], *service["command"]]]

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                self.words(name), env=self.environment(name), stdout=log, stderr=log, cwd=self.folder / name
            )

    def run(self, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run another command in a service, as `docker compose run` does."""
        command = [*self.services[name]["entrypoint"], *words]
        return subprocess.run(
            command, env=self.environment(name, **more), capture_output=True, text=True, check=False, timeout=120,
            cwd=self.folder / name,
        )  # fmt: skip

    def wait_until_healthy(self, *names: str) -> None:
        until = time.monotonic() + 90
        for name in names:
            kind, *words = self.services[name]["healthcheck"]["test"]
            assert kind == "CMD"
            words = [self.here(word) for word in words]
            while subprocess.run(words, env=self.environment(name), capture_output=True, check=False).returncode:
                assert self.running[name].poll() is None, self.log(name)
                assert time.monotonic() < until, (name, self.log(name))
                time.sleep(0.2)

    def wait_until_joined(self, name: str) -> None:
        until = time.monotonic() + 90
        while "Ray runtime started" not in self.log(name):
            assert self.running[name].poll() is None, self.log(name)
            assert time.monotonic() < until, self.log(name)
            time.sleep(0.2)

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        process.terminate()
        return process.wait(60)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


@pytest.fixture
def containers(postgres: str) -> Iterator[Containers]:
    folder = Path(tempfile.mkdtemp(prefix="safs-test-"))
    try:
        password = secrets.token_hex(32)
        with guarded_database(postgres, password) as url:
            made = Containers(folder, url)
            for name, content in (("database-password", password), ("passfile", f"*:*:*:*:{password}\n")):
                (made.secrets / name).write_text(content)
            try:
                yield made
            finally:
                kill_all(f"{MARK}={folder}")
                for process in made.running.values():
                    process.wait()
    finally:
        shutil.rmtree(folder)


@pytest.mark.thorough
@pytest.mark.timeout(600)  # a minute, but for other tests beside it
@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no `openssl`")
def test_what_the_compose_file_starts_takes_a_study_and_runs_it(containers: Containers, tmp_path: Path) -> None:
    values = merged(TINY, SMALLER)
    (tmp_path / "study.yaml").write_text(Config.from_mapping(values).to_yaml(), encoding="utf-8")

    # Whoever has no password, or begins without a token, gets nothing.
    serve = containers.services["server"]["command"]
    serve = [word if "host" in word else containers.here(word) for word in serve]
    assert "--host=0.0.0.0" in serve
    stopped = containers.run("server", *serve)
    assert (stopped.returncode, stopped.stdout) == (2, ""), stopped.stderr
    assert "There is no token yet" in stopped.stderr
    shut_out = containers.run("server", "token", "list", PGPASSFILE="/nowhere")
    assert shut_out.returncode == 2
    assert "password" in shut_out.stderr

    (words,) = re.findall(r"run --build [^)]*\s+server (token create [^)]*)\)", SERVICE_PAGE.read_text("utf-8"))
    made = containers.run("server", *shlex.split(words))
    assert made.returncode == 0, made.stderr
    user = {"SAFS_TOKEN": made.stdout.strip(), "SAFS_SERVER": containers.url}

    for name in ("head", "server"):
        containers.start(name)
    containers.wait_until_healthy("head", "server")
    for name in ("worker", "runner"):  # at once they would choose the same names for their sockets here
        containers.start(name)
        containers.wait_until_joined(name)
    containers.wait_until_healthy("worker", "runner")
    seen = subprocess.run(
        ["python", "-c", NODES], env=containers.environment("runner"), capture_output=True, text=True, check=False
    )
    assert seen.stdout.split() == ["0.0", "0.0", "1.0"], seen.stderr

    submitted = containers.run("server", "submit", "--config", str(tmp_path / "study.yaml"), "--watch", **user)
    assert submitted.returncode == 0, (submitted.stderr, containers.log("runner"))
    (study,) = re.findall(r"Submitted as (\S+)\.\n", submitted.stderr)
    fetched = containers.run("server", "fetch", study, "--out", str(tmp_path / "result"), **user)
    assert fetched.returncode == 0, fetched.stderr
    Study(Config.from_mapping(values), tmp_path / "undisturbed").run()
    (summary,) = (tmp_path / "result").rglob("summary.json")
    assert summary.read_bytes() == (tmp_path / "undisturbed" / "summary.json").read_bytes()

    assert containers.stop("runner") == 130, containers.log("runner")
    assert left(f"SAFS_TEST_SERVICE={containers.folder / 'runner'}".encode()) == [], "its Ray node went with it"
    assert containers.stop("server") == 130
    assert "Traceback" not in containers.log("server") + containers.log("runner")
