"""A study that is killed and resumed ends as the uninterrupted one (invariant 4): real processes, real signals."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import safs.study
from safs.config.schema import Config
from safs.journal import Journal
from safs.observer import Silent
from safs.run_directory import open_run_directory
from safs.study import Study
from spaces.errors import SafsError

ROOT = Path(__file__).parents[2]

POINTS = [("dense", 1), ("uniform", 2), ("stage1", 2), ("finalists", 1), ("safs", 3), ("stage2", 4), ("final", 4)]
"""Phases, and after how many of their trials the study is killed."""


def read(folder):
    """Return the whole records of a journal that another process may be writing."""
    path = folder / "journal.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def ids(folder):
    return [record["id"] for record in read(folder) if record["kind"] == "trial"]


def reached(folder, phase, count):
    """Return whether a journal holds so many trials of a phase, or, for the phase "test", its record."""
    return sum(record.get("phase", record["kind"]) == phase for record in read(folder)) >= count


def end_at(process, folder, phase, count, with_signal):
    """Send a signal to a study at a point of its journal and return its exit code, stdout and stderr."""
    while not reached(folder, phase, count) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=120)
    assert reached(folder, phase, count), err
    return process.returncode, out, err


def check_equal(folder, reference):
    """Two studies have the same summary, export and trials, whatever happened on the way."""
    for name in ("summary.json", "best/model.safetensors", "best/activations.json", "config.yaml"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    assert ids(folder) == ids(reference)
    assert len(set(ids(folder))) == len(ids(folder))
    for ours, theirs in zip(read(folder), read(reference), strict=True):
        for record in (ours, theirs):
            for name in ("seconds", "peak_memory"):
                record.get("outcome", {}).pop(name, None)
        assert ours == theirs


def paths(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_sigkill_at_any_point_changes_nothing(tiny_yaml, tiny_study, tmp_path, start_safs, run_safs):
    """One study, killed once in every step and resumed each time by another process with other string hashes."""
    folder, temporary = tmp_path / "run", tmp_path / "temporary"
    temporary.mkdir()
    process = start_safs("run", tiny_yaml, "--run-dir", folder, PYTHONHASHSEED="1", TMPDIR=str(temporary))
    for number, (phase, count) in enumerate([*POINTS, ("test", 1)]):
        code, _, err = end_at(process, folder, phase, count, signal.SIGKILL)
        assert code == -signal.SIGKILL, err
        assert not (folder / "summary.json").exists()
        environment = {"PYTHONHASHSEED": str(number + 2), "TMPDIR": str(temporary)}
        process = start_safs("run", tiny_yaml, "--run-dir", folder, "--resume", **environment)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Report: " in out
    assert err.count("known already") >= 30
    check_equal(folder, tiny_study)
    assert paths(folder) == paths(tiny_study)
    assert paths(temporary) == set()


@pytest.mark.parametrize("keep", [0.4, *(pytest.param(keep, marks=pytest.mark.thorough) for keep in (0.1, 0.7, 0.9))])
def test_a_journal_cut_anywhere_is_completed(keep, tiny_study, tiny_values, tmp_path, monkeypatch):
    """What a crash leaves: some bytes of the journal, and the folders of more trials than it names."""
    monkeypatch.setattr(safs.study, "write_report", lambda folder: None)
    folder = tmp_path / "run"
    folder.mkdir()
    content = (tiny_study / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(content[: int(keep * len(content))])
    (folder / "config.yaml").write_bytes((tiny_study / "config.yaml").read_bytes())
    (folder / "trials").symlink_to(tiny_study / "trials")
    whole = content[: int(keep * len(content))].count(b"\n")
    trained = []

    class Count(Silent):
        def trial(self, phase, spec, outcome, cached):
            if not cached:
                trained.append(spec.id)

    with monkeypatch.context() as patch:
        patch.setattr("safs.runner.write_atomically", lambda path, data: None)  # the reference is read only
        patch.setattr("safs.engines.inline.TrialLog", QuietLog)
        Study(Config.from_mapping(tiny_values()), folder, Count()).run(resume=True)
    check_equal(folder, tiny_study)
    assert len(trained) == len(ids(tiny_study)) - sum(r["kind"] == "trial" for r in read(tiny_study)[:whole])


class QuietLog(safs.training.Callback):
    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ended(self, outcome):
        pass


def test_a_finished_study_is_not_run_again(finished, tiny_yaml, call_safs, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a finished study trains nothing")

    monkeypatch.setattr("safs.engines.inline.run_trial", never)
    before = {name: (finished / name).read_bytes() for name in ("summary.json", "journal.jsonl", "config.yaml")}
    code, out, err = call_safs("run", tiny_yaml, "--run-dir", finished, "--resume")
    assert code == 0, err
    assert "Report: " in out
    assert {name: (finished / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_while_it_imports_ends_at_once(start_safs, tiny_yaml, tmp_path, number):
    process = start_safs("run", tiny_yaml, "--run-dir", tmp_path / "run")
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "run").exists()


def test_interrupted_studies_say_how_to_go_on_and_that_works(tiny_yaml, tiny_study, tmp_path, start_safs):
    """Ctrl-C, then SIGTERM as a scheduler sends it; each time by the command that was printed."""
    folder = tmp_path / "a run"
    process = start_safs("run", tiny_yaml, "--run-dir", folder)
    for phase, count, number in (("uniform", 1, signal.SIGINT), ("safs", 3, signal.SIGTERM)):
        code, out, err = end_at(process, folder, phase, count, number)
        assert code == 130, err
        assert "Traceback" not in err
        assert out == ""
        line = err.splitlines()[-1]
        assert line.startswith("Interrupted; finished trials are kept. Go on with: safs run ")
        command = shlex.split(line.partition("Go on with: ")[2])
        assert command == ["safs", "run", str(folder / "config.yaml"), "--run-dir", str(folder), "--resume"]
        process = start_safs(*command[1:])
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    check_equal(folder, tiny_study)


def killed(path, code):
    """Run code in a process that kills itself, and return what it left of `path`, whose name it was to have."""
    code = f"import os, pathlib, signal, sys\nfrom safs import files\npath = pathlib.Path(sys.argv[1])\n{code}"
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    (leftover,) = path.parent.glob(f".{path.name}.*.tmp")
    return leftover


def killed_while_writing(path):
    """Write a file in a process that is killed before the file has its name."""
    return killed(
        path,
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\nfiles.write_atomically(path, 'seed: 0')",
    )


def killed_while_in_a_folder(path):
    """Write into a temporary folder in a process that is killed; return the folder and the file."""
    folder = killed(
        path,
        "with files.temporary_folder(path) as folder:\n"
        "    (folder / 'file').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)",
    )
    return [folder, folder / "file"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_study_that_was_killed_before_its_first_file_begins(resume, tiny_values, tmp_path):
    folder, config = tmp_path / "run", Config.from_mapping(tiny_values())
    leftover = killed_while_writing(folder / "config.yaml")
    (folder / "journal.jsonl").touch()
    open_run_directory(folder, config, resume=resume).close()
    assert (folder / "config.yaml").read_text() == config.to_yaml()
    assert not leftover.exists()


def test_of_two_first_starts_one_is_refused(tiny_values, tmp_path):
    first, second = Config.from_mapping(tiny_values()), Config.from_mapping(tiny_values(seed=7))
    held = Journal(tmp_path / "journal.jsonl")  # the first process, before it has written its config
    with pytest.raises(SafsError, match="Another process is running this study"):
        open_run_directory(tmp_path, second, resume=True)
    assert not (tmp_path / "config.yaml").exists()
    held.close()
    with open_run_directory(tmp_path, first, resume=False):
        assert (tmp_path / "config.yaml").read_text() == first.to_yaml()


def test_only_ones_own_leftovers_are_passed_over(tiny_values, tmp_path):
    config = Config.from_mapping(tiny_values())
    (tmp_path / ".mine.tmp").touch()
    with pytest.raises(SafsError, match="is not empty"):
        open_run_directory(tmp_path, config, resume=False)
    with pytest.raises(SafsError, match="is no run directory"):
        open_run_directory(tmp_path, config, resume=True)


def test_leftovers_are_removed_on_resume_and_nothing_else(finished, tiny_yaml, call_safs, snapshot):
    (finished / "trials" / "a").mkdir()
    mine = finished / ".mine.tmp"
    mine.write_text("mine")
    leftovers = [killed_while_writing(finished / name) for name in ("new.json", "trials/a/network.safetensors")]
    leftovers += killed_while_in_a_folder(finished / "smac")
    before = snapshot(finished).keys() - set(map(str, leftovers))
    assert call_safs("run", tiny_yaml, "--run-dir", finished, "--resume")[0] == 0
    assert snapshot(finished).keys() == before
    assert mine.read_text() == "mine"


def test_a_second_process_on_the_same_run_directory_is_refused(tiny_yaml, tmp_path, start_safs, run_safs):
    folder = tmp_path / "run"
    process = start_safs("run", tiny_yaml, "--set", "train.epochs=500", "--run-dir", folder)
    try:
        while not reached(folder, "dense", 1):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        code, out, err = run_safs("run", folder / "config.yaml", "--run-dir", folder, "--resume")
        assert (code, out) == (2, "")
        assert err.startswith("Error: Another process is running this study")
        assert err.count("\n") == 1
    finally:
        process.kill()
        process.communicate()
