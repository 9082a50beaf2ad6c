"""The check of a submitted study before it is queued, in a process of its own: what it reads may be hostile.

A process that has everything imported already is forked for each check, so that a check takes no longer than it must.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil

from safs.out_of_memory import out_of_memory
from safs.service.environment import without_secrets
from safs.service.fields import FieldError, field_of
from safs.service.settings import Limits
from safs.service.temporary import temporary_folder
from spaces.errors import SafsError, brief

_AT_ONCE = 2
_OK = b"ok "
_FAREWELL_S = 5.0
"""How long a process may take to end once it has answered."""


class Admission:
    """Checks studies, a few at a time.

    Args:
        limits: what a check may take.
        runs_here: studies run on this machine, which must have the device that they name.
    """

    def __init__(self, limits: Limits, *, runs_here: bool) -> None:
        self._limits = limits
        self._runs_here = runs_here
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["safs.service.admission_check"])
        self._temporary = temporary_folder()
        self._starting = threading.Lock()
        self._start_forkserver()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def check(self, folder: Path) -> str:
        """Check the study whose `config.yaml` and inputs lie in a folder.

        Returns:
            The config as it is to run, as YAML; see `admission_check`.

        Raises:
            FieldError, SafsError: if its config, checkpoint or data are wrong, as `safs run` would say it.
        """
        async with self._turns:
            return await asyncio.to_thread(self._check, folder)

    def _check(self, folder: Path) -> str:
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (folder, theirs, self._limits.admission_memory, self._runs_here)
        process = self._context.Process(target=_run, args=arguments, daemon=True)
        with self._starting:
            self._start_forkserver()
            try:
                process.start()
            except (EOFError, OSError):  # it has just died
                self._start_forkserver()
                process.start()
        theirs.close()
        try:
            if not ours.poll(self._limits.admission_seconds):
                limit = self._limits.admission_seconds
                raise SafsError(f"The check of this study took longer than {limit:g} s, the service's limit.")
            try:
                said = ours.recv_bytes()
            except EOFError:
                raise SafsError("The check of this study was stopped: it may need too much memory.") from None
            process.join(_FAREWELL_S)
        finally:
            process.kill()
            process.join()
            process.close()
            ours.close()
        if not said.startswith(_OK):
            field, _, sentence = said.decode().partition("\n")
            raise FieldError(field, sentence)
        return said.removeprefix(_OK).decode()

    def _start_forkserver(self) -> None:
        """Start the process that is forked, if it does not run, without what it need not know: it reads what may be
        hostile."""
        if _forkserver_runs():
            return
        known, usual = dict(os.environ), tempfile.tempdir
        for name in known.keys() - without_secrets().keys():
            del os.environ[name]
        tempfile.tempdir = str(self._temporary)  # where its socket lies
        try:
            forkserver.ensure_running()
        finally:
            os.environ.update(known)
            tempfile.tempdir = usual


def _run(folder: Path, answer: Connection, memory: int, runs_here: bool) -> None:
    """Check a study and say so in one message; whatever else it prints goes nowhere."""
    from safs.service.admission_check import check, read_config

    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    try:
        config = read_config(folder, runs_here=runs_here)
        if sys.platform == "linux":  # only now: to look for a GPU takes much address space
            used = _address_space()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        answer.send_bytes(_OK + check(config).to_yaml().encode())
    except SafsError as error:
        answer.send_bytes(_refusal(field_of(error), str(error)))
    except Exception as error:  # noqa: BLE001 - a hostile file may raise anything, and is refused
        sentence = f"This study cannot be read: {type(error).__name__}: {brief(error)}"
        if out_of_memory(error):
            sentence = f"The check of this study needed more than {memory / 2**30:.1f} GiB."
        answer.send_bytes(_refusal("config", sentence))


def _refusal(field: str, sentence: str) -> bytes:
    return f"{field}\n{sentence}".encode(errors="replace")


def _forkserver_runs() -> bool:
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in child.cmdline()):
                return True
    return False


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
