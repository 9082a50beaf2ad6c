"""A cluster of `ray start`, as the compose file starts its nodes, and a study that finds it by `address: auto`."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from tests.safs.engines.conftest import MARK, ROOT, kill_all

COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]


@pytest.fixture
def start_node():
    """Returns a function that starts a service of the compose file, which is stopped at the end; and its folder."""
    folder = Path(tempfile.mkdtemp(prefix="safs-test-"))  # paths of sockets must be short
    env = os.environ | {MARK: str(folder), "RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}

    def start(service, port, *more):
        words = [*COMPOSE[service]["entrypoint"], *COMPOSE[service]["command"]]
        words = [word.replace("${SAFS_WORKER_CPUS:-2}", "1").replace("6379", str(port)) for word in words]
        words = [word.replace("head:", "127.0.0.1:").replace("0.0.0.0", "127.0.0.1") for word in words]
        assert words[0] == "ray"
        ray = Path(sys.executable).with_name("ray")
        with (folder / f"{service}.log").open("wb") as log:
            subprocess.Popen([ray, *words[1:], *more], env=env, stdout=log, stderr=log)

    yield start, folder
    kill_all(f"{MARK}={folder}")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.thorough
def test_the_services_of_the_compose_file_run_a_study(start_node, tmp_path, tiny_yaml, tiny_study, start_safs):
    start, folder = start_node
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start("head", port, "--include-dashboard=false")
    start("worker", port)
    until = time.monotonic() + 90
    while True:  # the head alone has no room: that is said
        run = tmp_path / "run"
        process = start_safs(
            "run", tiny_yaml, "--set", "resources.engine=ray", "--set", "resources.address=auto", "--run-dir", run,
            RAY_TMPDIR=str(folder),
        )  # fmt: skip
        _, err = process.communicate(timeout=250)
        if process.returncode == 0 or time.monotonic() > until:
            break
        assert process.returncode == 2, err
        assert "needs 1 CPU, but the cluster has 0" in err or "no Ray cluster to work with" in err
    assert process.returncode == 0, err
    kind, python, *test = COMPOSE["worker"]["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    test = [word.replace("/tmp/", f"{folder}/") for word in test]
    assert subprocess.run([sys.executable, *test], check=False).returncode == 0
    assert (run / "summary.json").read_bytes() == (tiny_study / "summary.json").read_bytes()
