"""docker/runner.sh, with programs in the place of Ray and of the worker."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.files import DOCKER, executable

RAY = f"""#!{sys.executable}
import json, os, signal, socket, sys, time
from pathlib import Path

place = Path(os.environ["RAY_TMPDIR"])
(place / "ray.json").write_text(json.dumps([os.getpid(), *sys.argv[1:]]))
if os.environ.get("RAY") == "refused":
    sys.exit(1)
while os.environ.get("RAY") == "late":
    time.sleep(0.1)
sockets = place / "ray" / "session_latest" / "sockets"
sockets.mkdir(parents=True)
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(sockets / "raylet"))
listening.listen()
(place / "ray" / "ray_current_cluster").write_text("x")
while not (place / "end-ray").exists():
    time.sleep(0.05)
sys.exit(1)
"""
WORKER = f"""#!{sys.executable}
import json, os, signal, sys, time
from pathlib import Path

place = Path(os.environ["RAY_TMPDIR"])

def leave(number, frame):
    time.sleep(0.5)
    (place / "left").write_text("x")
    sys.exit(130)

signal.signal(signal.SIGTERM, leave)
(place / "worker.json").write_text(json.dumps([os.getpid(), *sys.argv[1:]]))
while not (place / "end-worker").exists():
    time.sleep(0.05)
sys.exit(3)
"""


class Runner:
    """runner.sh in a folder, which is short as that of a socket must be."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        executable(folder / "bin" / "ray", RAY)
        executable(folder / "bin" / "safs", WORKER)
        (folder / "bin" / "python3").symlink_to(sys.executable)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self._environment = {"PATH": path, "RAY_TMPDIR": str(folder), **environment}
        self.process = self._start("head:6379", "--settings=x.yaml")

    def _start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [DOCKER / "runner.sh", *words], env=self._environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def check(self) -> bool:
        process = self._start("check")
        process.communicate(timeout=30)
        return process.returncode == 0

    def reached(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < until
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)

    def works(self) -> None:
        """Wait until both programs are there, and the worker has been told what to do when it is stopped."""
        self.reached(self.check)
        self.reached((self.folder / "worker.json").exists)

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output

    def words(self, name: str) -> list[str]:
        """Return what a program was started with, and check that it has ended."""
        pid, *words = json.loads((self.folder / f"{name}.json").read_bytes())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        return words


@pytest.fixture
def start_runner() -> Iterator[Callable[..., Runner]]:
    folder = Path(tempfile.mkdtemp(prefix="safs-test-"))
    made: list[Runner] = []

    def start(**environment: str) -> Runner:
        made.append(Runner(folder, **environment))
        return made[0]

    yield start
    for runner in made:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(runner.process.pid, signal.SIGKILL)
        runner.process.communicate()
    shutil.rmtree(folder)


def test_the_runner_is_sound() -> None:
    subprocess.run(["bash", "-n", DOCKER / "runner.sh"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", DOCKER / "runner.sh"], check=True)
    done = subprocess.run([DOCKER / "runner.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: runner.sh")


def test_a_runner_that_is_stopped_lets_its_worker_leave_first(start_runner: Callable[..., Runner]) -> None:
    runner = start_runner()
    runner.works()
    runner.process.terminate()
    code, output = runner.end()
    assert code == 130, output
    assert (runner.folder / "left").exists()
    assert runner.words("ray") == ["start", "--block", "--address=head:6379", "--num-cpus=0", "--num-gpus=0"]
    assert runner.words("worker") == ["worker", "--settings=x.yaml"]
    assert not runner.check()


@pytest.mark.parametrize(("which", "code"), [("ray", 130), ("worker", 3)])
def test_if_one_ends_the_other_ends_too(start_runner: Callable[..., Runner], which: str, code: int) -> None:
    runner = start_runner()
    runner.works()
    (runner.folder / f"end-{which}").touch()
    ended, output = runner.end()
    assert ended == code, output
    assert "so the other ends, too" in output
    assert (runner.folder / "left").exists() == (which == "ray"), "it gave its studies back"
    assert runner.words("ray")[0] == "start"
    assert runner.words("worker")[0] == "worker"


def test_without_a_cluster_there_is_no_worker(start_runner: Callable[..., Runner]) -> None:
    runner = start_runner(RAY="refused")
    code, output = runner.end()
    assert code == 1
    assert "could not join" in output
    assert not (runner.folder / "worker.json").exists()


def test_a_runner_may_be_stopped_while_it_waits_for_the_cluster(start_runner: Callable[..., Runner]) -> None:
    runner = start_runner(RAY="late")
    runner.reached((runner.folder / "ray.json").exists)
    assert not runner.check()
    runner.process.terminate()
    assert runner.end()[0] == 143
    assert not (runner.folder / "worker.json").exists()
    assert runner.words("ray")[0] == "start"
