"""The connection to a Ray cluster: somebody's, or one on this machine that lives as long as the connection."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safs.engines.cluster import guard
from spaces.errors import SafsError, brief

_MARK = "SAFS_CLUSTER"
_CLIENT = "ray://"
_LONGEST_PLACE = 25
_PATIENCE_S = 15.0
"""How long the head may not answer before it counts as lost: one that is restarted by Kubernetes needs a moment."""
_ANSWER_S = 2.0
_AGAIN_S = 0.5
"""How long one answer is waited for, and after how long it is asked again at the beginning."""
_FAREWELL_S = 60.0
_SHORT_FAREWELL_S = 5.0
"""How long a cluster may take to say good-bye, and one that is gone or silent."""
LEAVING = "safs: leaving Ray"
"""The name of the thread that leaves a cluster; while it lives, Ray does not let this process end."""


class ClusterLostError(SafsError):
    """The cluster's head is gone: what was finished is kept, and the study can be resumed."""

    exit_code = 1


class Connection:
    """A connection to a Ray cluster; the one that this process has already, if it has one.

    Args:
        address: as in the config's `resources.address`; None starts a cluster on this machine.

    Attributes:
        local: whether the cluster is ours alone, on this machine.
        alive: whether the cluster is there; once it is not, Ray is not to be asked anything.
        nodes: as `ray.nodes` described them when the head last answered.

    Raises:
        SafsError: if there is no cluster at the address, or it does not let us in.
    """

    def __init__(self, address: str | None) -> None:
        self.local = address is None and not _ray_is_up()
        self.alive = True
        self._folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._open = True
        self._silent_since: float | None = None
        self._question: threading.Thread | None = None
        self._answered = False
        self.nodes: list[dict[str, Any]] = []
        with _signals_as_they_were():
            if _ray_is_up():
                self._open = False
                self._head = _head()
            elif address is None:
                self._start()
            else:
                self._join(address)
        try:
            while not self.answers():
                time.sleep(_AGAIN_S)
        except BaseException:
            self.close()
            raise

    def answers(self) -> bool:
        """Return whether the cluster's head answers; as long as it does not, nothing may be asked of it, or Ray hangs.

        Raises:
            ClusterLostError: if it has not answered for a while.
        """
        self._silent_since = self._silent_since or time.monotonic()
        there = _listens(*self._head)
        if there and self._ask():
            self._silent_since = None
            return True
        if time.monotonic() - self._silent_since > (0 if self.local and not there else _PATIENCE_S):
            raise self._gone()
        return False

    def _ask(self) -> bool:
        """Ask the head which nodes there are, and return whether it answered.

        That is done by a thread: a head that has frozen keeps those waiting for ever who ask it.
        """
        if self._question is None or not self._question.is_alive():
            self._answered = False
            self._question = threading.Thread(target=self._see_nodes, daemon=True)
            self._question.start()
        self._question.join(_ANSWER_S)
        return self._answered

    def _see_nodes(self) -> None:
        import ray

        with contextlib.suppress(Exception):  # whatever it is, the head has not answered
            self.nodes = ray.nodes()
            self._answered = True

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """Turn what Ray's client raises when it is cut off into the error that says so.

        Raises:
            ClusterLostError: if the cluster is out of reach.
        """
        try:
            yield
        except ConnectionError as error:
            raise self._gone() from error

    def _gone(self) -> ClusterLostError:
        self.alive = False
        host, port = self._head
        return ClusterLostError(
            f"The head of the Ray cluster ({host}:{port}) is gone. Finished trials are kept: once there is a cluster "
            "again, go on with --resume."
        )

    def close(self) -> None:
        """Leave the cluster, and end it if it is ours; may be called twice."""
        if not self._open:
            return
        self._open = False
        try:
            with _signals_as_they_were():
                self._leave()
        finally:
            self._clean_up()

    def _leave(self) -> None:
        import ray

        # A head that has frozen is waited for for ever: then nobody waits for the thread, nor for those who do.
        leaving = threading.Thread(target=_quietly, args=(ray.shutdown,), name=LEAVING, daemon=True)
        leaving.start()
        leaving.join(_FAREWELL_S if self.alive and self._silent_since is None else _SHORT_FAREWELL_S)
        if leaving.is_alive():
            atexit.register(_end_at_once)  # Ray's own exit would wait for ever; ours comes before it

    def _start(self) -> None:
        # Ray lets nobody in without a token where it starts a cluster itself. It reads it once in a process, and would
        # otherwise write one into the user's home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._folder = Path(tempfile.mkdtemp(prefix="safs-ray-", dir=_short_place()))
        mark = f"{_MARK}={self._folder}"
        command = [sys.executable, "-I", "-S", guard.__file__, str(self._folder), mark]
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        os.environ[_MARK] = str(self._folder)
        try:
            _init(address="local", include_dashboard=False, _temp_dir=str(self._folder))
        except (OSError, RuntimeError, ValueError) as error:
            self._clean_up()
            raise SafsError(f"No Ray cluster can be started on this machine: {brief(error)}") from error
        except BaseException:
            self._clean_up()
            raise
        finally:
            del os.environ[_MARK]
        self._head = _head()

    def _join(self, address: str) -> None:
        try:
            if address != "auto":
                self._head = _host_and_port(address)
                if not _listens(*self._head):
                    raise ConnectionError("nobody listens there")
            try:
                _init(address=address)
            except ConnectionError:
                if not address.startswith(_CLIENT):
                    raise
                _init(address=address)  # its server starts a process for each client, which may take too long once
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SafsError(
                f"There is no Ray cluster to work with at `resources.address: {address}` "
                f"({brief(error)}); leave it out to start one on this machine."
            ) from error
        if address == "auto":
            self._head = _head()

    def _clean_up(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _quietly(function: Callable[[], Any]) -> None:
    """Call a function that may find the connection cut, or the cluster gone, in any way: there is nobody to be told."""
    with contextlib.suppress(Exception):
        function()


def _end_at_once() -> None:
    """End this process without Ray's own clearing up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ClusterLostError.exit_code)


def _ray_is_up() -> bool:
    """Return whether this process has joined a cluster, which is then not ours to leave."""
    import ray

    return bool(ray.is_initialized())


def _init(**options: Any) -> None:
    import ray
    from ray.exceptions import RayError

    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except RayError as error:  # such as AuthenticationError
        raise ConnectionError(str(error)) from error


def _short_place() -> str | None:
    """Return where temporary files go, or /tmp if that is too long a path for the sockets that Ray makes below it."""
    return None if len(tempfile.gettempdir()) <= _LONGEST_PLACE else "/tmp"


def _head() -> tuple[str, int]:
    import ray

    return _host_and_port(ray.get_runtime_context().gcs_address)


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.removeprefix(_CLIENT).rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("an address is auto, host:port or ray://host:port")
    return host, int(port)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_ANSWER_S):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _signals_as_they_were() -> Iterator[None]:
    """Keep our handlers: Ray puts its own in the place of that of SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
