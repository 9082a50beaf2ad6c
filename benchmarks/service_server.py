"""`safs serve` in a process of its own, at one address, however often it is started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import psutil

from safs.service.scopes import Scope
from safs.service.store import tokens
from safs.service.store.database import Database

ROOT = Path(__file__).parent.parent
ENTRY = ("-m", "safs")
_START_S = 60.0


class Server:
    """A server of a home; whoever uses it in a `with` block leaves none of its processes.

    Args:
        home: its home, made if need be.
        *options: of `safs serve`.
        database: the URL of its database; None for that of its home.
        **environment: variables that it has besides ours.

    Attributes:
        database: a second view of its database.
        log: what it and its worker have said.
        url, port: its address.
        process: while it runs, its own.
        secrets: the tokens that were made here.
    """

    def __init__(self, home: Path, *options: str | Path, database: str | None = None, **environment: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.log = home, home / "serve.log"
        self.database = Database(database) if database else Database.in_folder(home)
        self.database.migrate()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.secrets: list[str] = []
        self._options = options
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(home)} | environment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, 5)
        self.database.close()

    def start(self, entry: Sequence[str] = ENTRY, *, worker: bool = True) -> Self:
        """Start the server, if it does not run, and wait until it answers.

        Args:
            entry: what Python runs for the command `safs`.
            worker: whether the server starts a worker.
        """
        if self.process is not None and self.process.poll() is None:
            return self
        options = ["--home", self.home, "--port", str(self.port), *self._options, *([] if worker else ["--no-worker"])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *entry, "serve", *options], stdout=log, stderr=log, env=self._environment
            )
        until = time.monotonic() + _START_S
        with httpx2.Client(trust_env=False) as http:
            while not _answers(http, self.url):
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"It does not start: {self.said()[-2000:]}")
                time.sleep(0.02)
        return self

    def stop(self) -> int:
        """Ask the server to end, and return its exit status."""
        assert self.process is not None, "it was started"
        self.process.terminate()
        return self.process.wait(_START_S)

    def kill(self) -> None:
        """Kill the server alone."""
        assert self.process is not None, "it was started"
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """Return what the server and its worker have said."""
        return self.log.read_text()

    def make_token(self, name: str, scope: Scope = Scope.SUBMIT, **limits: float) -> str:
        """Return a new token."""
        with self.database.writing() as connection:
            secret = tokens.create(connection, name, scope, **limits)  # type: ignore[arg-type]
        self.secrets.append(secret)
        return secret

    def client(self, token: str | None) -> httpx2.Client:
        """Return a client with this token, if any."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

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


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(http: httpx2.Client, url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return http.get(f"{url}/healthz").status_code == 200
    return False
