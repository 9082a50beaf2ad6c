"""A server with its worker, in a home of its own, that can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import psutil
import yaml
from sqlalchemy import select

from benchmarks.service_truth import journal
from safs.service.ids import new_id
from safs.service.scopes import Scope
from safs.service.storage.layout import RUN
from safs.service.store import tokens
from safs.service.store.database import Database
from safs.service.store.tables import StudyRow

ROOT = Path(__file__).parent.parent
HURRIED = {"lease_seconds": 2.0, "niceness": 0, "concurrency": 2}
"""Settings with which what was killed goes on soon."""
ENTRY = ("-m", "safs")
_START_S = 60.0
_STUDY = "safs.service.worker.study_process"


class Place:
    """`safs serve` at one address, however often it is started.

    Args:
        home: its home, made if need be.
        scope: of its token.
        **settings: of the service.

    Attributes:
        database: a second view of its database.
        studies: where its storage is.
        log: what the server and its worker have said.
        url, token: its address, and who may submit.
        up: whether it answers.
        process: the server's, while it runs.
    """

    def __init__(self, home: Path, scope: Scope = Scope.SUBMIT, **settings: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        url = settings.get("database")
        self.database = Database(url) if url else Database.in_folder(home)
        self.database.migrate()
        with self.database.writing() as connection:
            self.token = tokens.create(connection, "benchmark", scope, most_queued=10_000)
        self.studies, self.log = home / "studies", home / "serve.log"
        self._settings = home / "settings.yaml"
        self._settings.write_text(yaml.safe_dump(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.up = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(home)}

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, 5)
        self.database.close()

    def start(self, entry: Sequence[str] = ENTRY, *, worker: bool = True) -> None:
        """Start the server, if it does not run, and wait until it answers.

        Args:
            entry: what Python runs for the command `safs`.
            worker: whether the server starts a worker.
        """
        if self.process is not None and self.process.poll() is None:
            return
        options = ["--home", self.home, "--port", str(self.port), "--settings", self._settings]
        command = [sys.executable, *entry, "serve", *options, *([] if worker else ["--no-worker"])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        until = time.monotonic() + _START_S
        with httpx2.Client(trust_env=False) as http:
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if http.get(f"{self.url}/healthz").status_code == 200:
                        break
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"It does not start: {self.log.read_text()[-2000:]}")
                time.sleep(0.02)
        self.up.set()

    def kill(self, what: str) -> str:
        """Kill the server, its worker, a study's process, or all of them; return which: the server if the others
        do not run just now."""
        assert self.process is not None, "it was started"
        workers = [child for child in self._children() if "worker" in child.cmdline()]
        studies = self.running()
        found = {"worker": workers[-1:], "study": studies[-1:], "all": workers + studies, "server": []}[what]
        if what in ("worker", "study") and not found:
            what = "server"
        if what in ("server", "all"):
            self.up.clear()
            self.process.kill()
        for process in found:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if process in studies:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
        if what in ("server", "all"):
            self.process.wait()
        return what

    def client(self, **limits: float) -> httpx2.Client:
        """Return somebody who may submit; if there are limits, they have a token of their own."""
        token = self.token
        if limits:
            with self.database.writing() as connection:
                token = tokens.create(connection, f"limited {new_id()}", Scope.SUBMIT, **limits)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def listed(self, http: httpx2.Client) -> list[dict[str, Any]]:
        """Return all studies, page by page."""
        found: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            parameters = {"limit": 200} | ({"after": after} if after else {})
            page = http.get("/v1/studies", params=parameters).raise_for_status().json()
            found += page["studies"]
            after = page["next"]
            if after is None:
                return found

    def run_of(self, study: str) -> Path:
        """Return the run directory of a study."""
        return self.studies / study / RUN

    def request(self, study: str) -> str:
        """Return what identifies the request that made a study."""
        with self.database.reading() as connection:
            return str(connection.execute(select(StudyRow.request).where(StudyRow.id == study)).scalar_one())

    def wait_for_a_trial(self, seconds: float) -> bool:
        """Wait until any study has journalled one more trial, but no longer than that; return whether one came."""
        before, until = self._journalled(), time.monotonic() + seconds
        while not (new := self._journalled() - before) and time.monotonic() < until:
            time.sleep(0.02)
        return bool(new)

    def running(self) -> list[psutil.Process]:
        """Return the processes of studies."""
        return [process for process in self.processes() if _STUDY in _words(process)]

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this home, the server's among them."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if str(self.home) in process.cmdline() or Path(process.cwd()).is_relative_to(self.home):
                    found.append(process)
        return found

    def _children(self) -> list[psutil.Process]:
        assert self.process is not None, "it was started"
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.process.pid).children() if _words(child)]
        return []

    def _journalled(self) -> set[tuple[Path, str]]:
        found = set()
        for run in self.studies.glob(f"*/{RUN}"):
            with contextlib.suppress(FileNotFoundError):  # it is being deleted
                found |= {(run, trial["id"]) for trial in journal(run)}
        return found


def _words(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []
