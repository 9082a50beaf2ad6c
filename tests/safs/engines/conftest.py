"""Real Ray clusters of several nodes on this machine, whose nodes can be killed, and hostile trials to run on them."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from safs.engines.cluster.guard import left

ROOT = Path(__file__).parents[3]
MARK = "SAFS_TEST_CLUSTER"

# Before Ray is imported: `Cluster`, unlike `ray.init`, does not turn this on by itself.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_worker_niceness", "0")  # beside other tests, Ray's workers would starve


class Nodes:
    """A cluster whose processes are ours to kill."""

    def __init__(self, folder):
        from ray.cluster_utils import Cluster

        (folder / "ray").mkdir()  # where it notes its address
        self._folder = folder
        self._cluster = Cluster(shutdown_at_exit=False)

    @property
    def address(self):
        return self._cluster.address

    def add(self, cpus, *, path=ROOT, **options):
        """Add a node, the first time the head, whose processes find modules at `path`, too."""
        if self._cluster.head_node is None:
            options |= {"temp_dir": str(self._folder), "include_dashboard": False}
        values = {MARK: str(self._folder), "RAY_TMPDIR": str(self._folder), "PYTHONPATH": str(path)}
        with environment(values):
            return self._cluster.add_node(num_cpus=cpus, **options)

    def kill(self, node):
        """Kill every process of a node at once."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def end_head(self, number):
        """Kill the node that the cluster was started on, and kill or freeze, by a signal, the control store."""
        head = self._cluster.head_node
        self.kill(head)
        head.all_processes["gcs_server"][0].process.send_signal(number)


@contextlib.contextmanager
def environment(values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _cluster(cpus, **options):
    folder = Path(tempfile.mkdtemp(prefix="safs-test-"))  # paths of sockets must be short
    made = Nodes(folder)
    try:
        made.add(cpus, **options)
        yield made
    finally:
        kill_all(f"{MARK}={folder}")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes():
    """A cluster with one node of one core; more can be added."""
    with _cluster(1) as made:
        yield made


@pytest.fixture
def client_address():
    """The address of a cluster of two cores for those who are outside."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with _cluster(2, ray_client_server_port=port):
        yield f"ray://127.0.0.1:{port}"


def kill_all(mark):
    """Kill all processes with a mark in their environment."""
    while processes := [pid for pid in left(mark.encode()) if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def workers(pid):
    """Return the processes that train for a process of `safs` that has started a cluster of its own."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::TrialWorker"):
                found.append(process)
    return found


def shared_memory():
    """Return the segments of shared memory on this machine, but for those of databases of tests beside this one."""
    return {path for path in Path("/dev/shm").iterdir() if not path.name.startswith("PostgreSQL.")}


def unused(segments):
    """Return those segments that no process has mapped: they are left over, unless they were only just made."""
    if not segments:
        return []
    time.sleep(1)
    used = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            used |= {mapped.path for mapped in process.memory_maps()}
    return [segment for segment in segments if str(segment) not in used and segment.exists()]


@pytest.fixture
def left_behind(monkeypatch):
    """Returns what clusters that `safs` starts have left: folders, processes and shared memory.

    Folders and processes are in a place of their own; shared memory is anybody's that nobody uses.
    """
    folder = Path(tempfile.mkdtemp(prefix="safs-left-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)

    before = shared_memory()

    def now():
        files = [path for path in folder.iterdir() if not path.name.startswith("torchinductor")]  # PyTorch's cache
        memory = unused(shared_memory() - before)
        return [*files, *left(f"SAFS_CLUSTER={folder}".encode()), *memory]

    yield now
    kill_all(f"SAFS_CLUSTER={folder}")
    shutil.rmtree(folder)
