"""A server with its worker, in a home of its own, any part of which can be killed, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil
import yaml
from sqlalchemy import select

from benchmarks.service_server import ENTRY, Server
from benchmarks.service_truth import journal
from safs.service.scopes import Scope
from safs.service.storage.layout import RUN
from safs.service.store.tables import StudyRow

HURRIED = {"lease_seconds": 2.0, "niceness": 0, "concurrency": 2}
"""Settings with which what was killed goes on soon."""
_STUDY = "safs.service.worker.study_process"


class Place(Server):
    """A server with settings, and what its worker does.

    Args:
        home: its home, made if need be.
        scope: of its token.
        **settings: of the service.

    Attributes:
        studies: where its storage is.
        token: one that may do all that is measured here.
        up: whether it answers.
    """

    def __init__(self, home: Path, scope: Scope = Scope.SUBMIT, **settings: Any) -> None:
        written = home / "settings.yaml"
        super().__init__(home, "--settings", written, database=settings.get("database"))
        written.write_text(yaml.safe_dump(settings))
        self.studies = home / "studies"
        self.token = self.make_token("benchmark", scope, most_queued=10_000)
        self.up = threading.Event()

    def start(self, entry: Sequence[str] = ENTRY, *, worker: bool = True) -> Self:
        super().start(entry, worker=worker)
        self.up.set()
        return self

    def kill(self) -> None:
        self.up.clear()
        super().kill()

    def strike(self, what: str) -> str:
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
