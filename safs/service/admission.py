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
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

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
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["safs.service.admission_check"])
        _start_forkserver()
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
        process = self._context.Process(target=_run, args=(folder, theirs, self._limits.admission_memory), daemon=True)
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


def _run(folder: Path, answer: Connection, memory: int) -> None:
    """Check a study and say so in one message; whatever else it prints goes nowhere."""
    from safs.service.admission_check import check

    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    if sys.platform == "linux":
        used = _address_space()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    try:
        answer.send_bytes(_OK + check(folder).to_yaml().encode())
    except SafsError as error:
        answer.send_bytes(_refusal(field_of(error), str(error)))
    except MemoryError:
        answer.send_bytes(_refusal("config", f"The check of this study needed more than {memory / 2**30:.1f} GiB."))
    except Exception as error:  # noqa: BLE001 - a hostile file may raise anything, and is refused
        sentence = f"This study cannot be read: {type(error).__name__}: {brief(error)}"
        answer.send_bytes(_refusal("config", sentence))


def _refusal(field: str, sentence: str) -> bytes:
    return f"{field}\n{sentence}".encode(errors="replace")


def _start_forkserver() -> None:
    """Start the process that is forked, without what it need not know: it is to read what may be hostile."""
    known, usual = dict(os.environ), tempfile.tempdir
    for name in known.keys() - without_secrets().keys():
        del os.environ[name]
    tempfile.tempdir = str(temporary_folder())  # where its socket lies
    try:
        forkserver.ensure_running()
    finally:
        os.environ.update(known)
        tempfile.tempdir = usual


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
