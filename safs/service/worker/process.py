"""A study's process, as its worker sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safs.service.environment import without_secrets
from safs.service.storage.layout import LOG
from safs.service.worker.said import Said

_MODULE = "safs.service.worker.study_process"
_FAREWELL_S = 5.0


class StudyProcess:
    """A process that runs a study, started in a session of its own.

    Args:
        folder: of the study; its log is appended to.
        niceness: how far it stands back behind other processes.

    Attributes:
        pid: of the process, and of its group.
        progress: how far it is, as it told last; None before it did.
        said: how it said that it ended, or None.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(self, folder: Path, niceness: int) -> None:
        self.progress: Mapping[str, Any] | None = None
        self.said: Said | None = None
        self._heard = b""
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            with (folder / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    # -P: nothing is imported from its folder
                    [sys.executable, "-P", "-m", _MODULE, str(theirs), str(niceness)],
                    cwd=folder,
                    env=_environment(),
                    stdin=subprocess.PIPE,  # its end is that of the worker
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, negative if a signal killed it; None while it runs. Note what it told meanwhile."""
        code = self._process.poll()
        self._listen()
        return code

    def interrupt(self) -> None:
        """Ask it to stop; it keeps what it has finished."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it and its group at once; may be called by any thread, and when it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of a group that has ended
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill what is left of it and let go of its pipes."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in a file system, and ends with that
            self._process.wait(_FAREWELL_S)
        assert self._process.stdin is not None
        self._process.stdin.close()
        os.close(self._pipe)

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipe, 1 << 16):
                self._heard += part
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                self.progress = message["progress"]
            else:
                self.said = Said.from_json(message)


def _environment() -> dict[str, str]:
    """Return the environment without secrets, for a study that starts in another folder."""
    environment = without_secrets()
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return environment
