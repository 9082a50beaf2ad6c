"""Workers, nodes, heads and drivers that are killed: a study loses what was running, and ends as it would have."""

import os
import signal
import time

import pytest

from safs.config.schema import Config
from tests.safs.engines.conftest import workers

RAY = ("--set", "resources.engine=ray")


@pytest.fixture
def expected(tiny_study):
    """What the small study comes to, uninterrupted, on the inline engine."""
    return (tiny_study / "summary.json").read_bytes()


def wait_for(process, folder, count):
    """Wait until a study has journalled so many records, or has ended."""
    journal = folder / "journal.jsonl"
    until = time.monotonic() + 120
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < count):
        assert time.monotonic() < until, "it hangs"
        time.sleep(0.005)
    return process.poll() is None


@pytest.mark.thorough
def test_workers_that_are_killed_in_both_stages_are_replaced(tiny_yaml, tmp_path, start_safs, records, expected):
    folder = tmp_path / "run"
    process = start_safs("run", tiny_yaml, *RAY, "--run-dir", folder)
    killed = 0
    for count in (1, 8, 20, 30):  # while the dense network trains, in stage 1, in stage 2, in the last rows
        if wait_for(process, folder, count):
            while process.poll() is None and not (found := workers(process.pid)):  # they are being replaced
                time.sleep(0.05)
            for worker in found[: 1 + count % 2]:
                worker.kill()
                killed += 1
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert killed >= 4
    assert (folder / "summary.json").read_bytes() == expected
    ids = [record["id"] for record in records(folder) if record["kind"] == "trial"]
    assert len(ids) == len(set(ids))


def test_a_driver_that_is_killed_leaves_nothing_and_its_study_is_resumed(
    tiny_yaml, tmp_path, start_safs, run_safs, expected, left_behind
):
    folder = tmp_path / "run"
    flags = []
    for count in (6, 28):
        process = start_safs("run", tiny_yaml, *RAY, "--run-dir", folder, *flags)
        assert wait_for(process, folder, count)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        until = time.monotonic() + 20
        while left_behind():
            assert time.monotonic() < until, f"left behind: {left_behind()}"
            time.sleep(0.1)
        flags = ["--resume"]
    code, _, err = run_safs("run", tiny_yaml, *RAY, "--run-dir", folder, "--resume")
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == expected
    assert not left_behind()


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_preemption_keeps_what_was_finished_and_says_how_to_go_on(
    number, tiny_yaml, tmp_path, start_safs, run_safs, expected, left_behind
):
    folder = tmp_path / "run"
    process = start_safs("run", tiny_yaml, *RAY, "--run-dir", folder)
    assert wait_for(process, folder, 12)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"--run-dir {folder} --resume" in err
    assert not left_behind()
    code, _, err = run_safs("run", folder / "config.yaml", "--run-dir", folder, "--resume")  # on the same engine
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == expected


@pytest.mark.thorough
@pytest.mark.parametrize(("count", "number"), [(24, signal.SIGKILL), (16, signal.SIGSTOP)])
def test_a_head_that_dies_or_freezes_is_said_and_the_study_goes_on_elsewhere(
    count, number, nodes, tiny_yaml, tmp_path, start_safs, run_safs, expected
):
    folder = tmp_path / "run"
    process = start_safs("run", tiny_yaml, *RAY, "--set", f"resources.address={nodes.address}", "--run-dir", folder)
    assert wait_for(process, folder, count)
    nodes.end_head(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1, err
    assert "head of the Ray cluster" in err
    assert "go on with --resume" in err
    code, _, err = run_safs("run", tiny_yaml, "--run-dir", folder, "--resume")  # on another engine
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == expected


@pytest.mark.thorough
def test_a_node_that_is_killed_and_one_that_joins(nodes, tiny_values, tmp_path, start_safs, expected):
    other = nodes.add(1)
    path, folder = tmp_path / "tiny.yaml", tmp_path / "run"
    path.write_text(Config.from_mapping(tiny_values()).to_yaml())
    process = start_safs("run", path, *RAY, "--set", f"resources.address={nodes.address}", "--run-dir", folder)
    assert wait_for(process, folder, 16)
    nodes.kill(other)
    assert wait_for(process, folder, 22)
    nodes.add(1)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert (folder / "summary.json").read_bytes() == expected


@pytest.mark.thorough
def test_two_studies_share_a_cluster(nodes, tiny_yaml, tmp_path, start_safs, expected):
    address = f"resources.address={nodes.address}"
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = [start_safs("run", tiny_yaml, *RAY, "--set", address, "--run-dir", folder) for folder in folders]
    for process, folder in zip(processes, folders, strict=True):
        _, err = process.communicate(timeout=250)
        assert process.returncode == 0, err
        assert (folder / "summary.json").read_bytes() == expected


def test_a_stranger_is_not_let_in(nodes, tiny_yaml, tmp_path, start_safs):
    process = start_safs(
        "run", tiny_yaml, *RAY, "--set", f"resources.address={nodes.address}", "--run-dir", tmp_path / "run",
        RAY_AUTH_TOKEN="f" * 64, RAY_AUTH_MODE=os.environ["RAY_AUTH_MODE"],
    )  # fmt: skip
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    assert "no Ray cluster to work with" in err
    assert not (tmp_path / "run").exists()
