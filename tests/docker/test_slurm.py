"""The Slurm script, with executables that stand in for Slurm's, Ray's and ours: none of these runs here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.docker.files import DOCKER, executable

SCONTROL = """#!/bin/sh
[ "$1 $2" = "show hostnames" ] && echo "$3" | tr , '\\n'
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
RAY = f"""#!{sys.executable}
import json, os, signal, socket, sys, time
from pathlib import Path

notes, words = Path(os.environ["NOTES"]), sys.argv[1:]
role = "head" if "--head" in words else "worker"
token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
note = {{
    "pid": os.getpid(), "words": words, "mode": os.environ["RAY_AUTH_MODE"], "path": str(token),
    "token": token.read_text(), "bits": [token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777],
}}
(notes / f"{{role}}.json").write_text(json.dumps(note))
if os.environ.get("BROKEN") == role:
    sys.exit(1)
if role == "head":
    port = next(int(word.split("=")[1]) for word in words if word.startswith("--port="))
    listening = socket.create_server(("127.0.0.1", port))
time.sleep(100)
"""
RAY_MODULE = """
import os
from pathlib import Path
done = False
def is_initialized(): return done
def init(**options): globals()["done"] = True
def nodes():
    joined = [path for path in Path(os.environ["NOTES"]).glob("*.json") if path.stem != os.environ.get("BROKEN")]
    return [{"Alive": True}] * sum(path.stem in ("head", "worker") for path in joined)
"""
SAFS = f"""#!{sys.executable}
import json, os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(130))
(Path(os.environ["NOTES"]) / "safs.json").write_text(json.dumps(sys.argv[1:]))
if os.environ.get("LONG"):
    time.sleep(100)
sys.exit(int(os.environ.get("STATUS", 0)))
"""


class Job:
    """A run of the Slurm script with stand-ins for what it calls, on two nodes that are this machine.

    Args:
        environment: what the stand-ins are to do: BROKEN a role that ends at once, LONG a study, STATUS its exit code.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.id = 10_000_000 + os.getpid() % 1_000_000  # nobody else's
        self.home, self.notes = folder / "home", folder / "notes"
        self.temp = Path(f"/tmp/safs-ray-{os.getuid()}-{self.id}")
        for made in (self.home, self.notes, folder / "bin", folder / "modules"):
            made.mkdir()
        for name, text in {"scontrol": SCONTROL, "srun": SRUN, "ray": RAY, "safs": SAFS}.items():
            executable(folder / "bin" / name, text)
        (folder / "modules" / "ray.py").write_text(RAY_MODULE, encoding="utf-8")
        (folder / "bin" / "python3").symlink_to(sys.executable)
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "NOTES": str(self.notes),
            "PYTHONPATH": str(folder / "modules"),
            "SLURM_JOB_ID": str(self.id),
            "SLURM_JOB_NODELIST": "one,two",
            "SLURM_CPUS_PER_TASK": "3",
            "SLURM_GPUS_ON_NODE": "2",
            "SAFS_HEAD_IP": "127.0.0.1",
            "SAFS_JOIN_SECONDS": "30",
            **environment,
        }

    @property
    def block(self) -> int:
        """The first port of the block that is tried first."""
        return 10240 + self.id % 45 * 500

    def start(self) -> subprocess.Popen[str]:
        words = ["bash", str(DOCKER / "slurm.sh"), "study.yaml", "runs/study", "--set", "resources.gpus_per_trial=0.25"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            words, env=self.environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the script's end, and leave no process if it does not come."""
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output

    def run(self) -> tuple[int, str]:
        return self.end(self.start())

    def note(self, name: str) -> Any:
        return json.loads((self.notes / f"{name}.json").read_text(encoding="utf-8"))

    def left_nothing(self) -> bool:
        ended = all(not alive(self.note(path.stem)["pid"]) for path in self.notes.glob("*.json") if path.stem != "safs")
        return ended and not self.temp.exists() and list((self.home / ".safs").iterdir()) == []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def option(words: list[str], name: str) -> str:
    return next(word.removeprefix(f"--{name}=") for word in words if word.startswith(f"--{name}="))


def test_the_slurm_script_is_sound() -> None:
    subprocess.run(["bash", "-n", DOCKER / "slurm.sh"], check=True)
    assert os.access(DOCKER / "slurm.sh", os.X_OK)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", DOCKER / "slurm.sh"], check=True)


def test_it_says_how_it_is_used() -> None:
    done = subprocess.run(["bash", DOCKER / "slurm.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: sbatch")


def test_it_starts_a_cluster_runs_the_study_there_and_cleans_up(tmp_path: Path) -> None:
    job = Job(tmp_path)
    status, output = job.run()
    assert status == 0, output
    head, worker = job.note("head"), job.note("worker")
    address = f"127.0.0.1:{option(head['words'], 'port')}"
    assert option(worker["words"], "address") == address
    assert job.note("safs") == [
        "run", "study.yaml", "--set", "resources.engine=ray", "--set", f"resources.address={address}",
        "--set", "resources.gpus_per_trial=0.25", "--run-dir", "runs/study", "--resume",
    ]  # fmt: skip
    for node in (head, worker):
        assert (option(node["words"], "num-cpus"), option(node["words"], "num-gpus")) == ("3", "2")
        assert option(node["words"], "temp-dir") == str(job.temp)
        ports = {word: int(word.split("=")[1]) for word in node["words"] if re.match(r"--[\w-]*port=\d", word)}
        assert len(set(ports.values())) == len(ports) >= 8 - (node is worker)
        first = int(option(head["words"], "port"))
        assert all(first <= port < first + 500 <= 32768 for port in ports.values())
    assert job.left_nothing()


def test_every_job_has_a_token_of_its_own_that_only_its_user_reads(tmp_path: Path) -> None:
    tokens = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        _, output = job.run()
        head, worker = job.note("head"), job.note("worker")
        assert (head["token"], head["path"], head["mode"]) == (worker["token"], worker["path"], "token")
        assert head["bits"] == [0o600, 0o700]
        assert len(head["token"]) == 64
        assert head["token"] not in output + json.dumps([head["words"], worker["words"], job.note("safs")])
        tokens.add(head["token"])
    assert len(tokens) == 2


def test_it_takes_other_ports_where_one_is_taken(tmp_path: Path) -> None:
    job = Job(tmp_path)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("", job.block + 321))
        taken.listen()
        status, output = job.run()
    assert status == 0, output
    assert f"port {job.block + 321}: Address already in use" in output
    first = int(option(job.note("head")["words"], "port"))
    assert abs(first - job.block) >= 500


def test_it_ends_as_the_study_does(tmp_path: Path) -> None:
    job = Job(tmp_path, STATUS="3")
    assert job.run()[0] == 3
    assert job.left_nothing()


def test_the_time_limits_signal_reaches_the_study(tmp_path: Path) -> None:
    job = Job(tmp_path, LONG="1")
    process = job.start()
    deadline = time.monotonic() + 30
    while not (job.notes / "safs.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    status, output = job.end(process)
    assert status == 130, output
    assert job.left_nothing()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"BROKEN": "head"}, "The Ray head has ended"),
        ({"BROKEN": "worker", "SAFS_JOIN_SECONDS": "3"}, "Only 1 of 2 nodes joined within 3 s."),
    ],
)
def test_a_cluster_that_does_not_come_up_is_waited_for_in_vain_but_not_for_ever(
    environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    job = Job(tmp_path, **environment)
    status, output = job.run()
    assert status == 1
    assert message in output
    assert not (job.notes / "safs.json").exists()
    assert job.left_nothing()
