"""`safs tabulate`: every assignment trained once, as stage 1 would, and resumed after a kill."""

import signal
import time

import pytest

from safs.comparison.table import read_table
from safs.comparison.tabulate import tabulate
from safs.config.schema import Config
from safs.observer import Silent
from spaces.operators import OPERATORS


def trials(records, folder, phase="table"):
    return [record for record in records(folder) if record.get("phase") == phase]


def test_every_assignment_has_the_outcome_of_its_stage_1_trial(table, table_file, records, tiny_study):
    """Bit by bit, in another study with the same network."""
    made = trials(records, table_file.parent / "run")
    assert len(made) == table.space.size == 81
    assert len({record["id"] for record in made}) == 81
    of_study = {
        tuple(record["spec"]["assignment"]): record["outcome"]["cost"]
        for record in records(tiny_study)
        if record.get("phase") in ("uniform", "stage1")
    }
    assert len(of_study) == 6
    for assignment, cost in of_study.items():
        assert table.outcome(assignment).cost == cost


def test_the_table_knows_its_config_and_what_made_it(table, tiny_values):
    config = Config.from_mapping(table.config)
    assert config == Config.from_mapping(tiny_values())
    assert table.space.operators == config.stage1.operators
    assert table.made_with["device"] == "cpu"
    assert table.made_with["torch"]


@pytest.fixture
def small(tiny_yaml):
    return ["tabulate", tiny_yaml, "--set", "stage1.operators=[relu,srs]", "--set", "seed=3"]


@pytest.mark.thorough
def test_a_killed_table_is_resumed_and_comes_to_the_same(small, tmp_path, start_safs, run_safs, records):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, err = run_safs(*small, "--run-dir", whole, cwd=tmp_path)
    assert code == 0, err
    assert f"16 assignments, 0 failed: {whole / 'table.json'}" in out
    process = start_safs(*small, "--run-dir", killed, "--out", tmp_path / "other.json")
    while not (killed / "journal.jsonl").exists() or len(records_so_far(killed)) < 8:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "other.json").exists()
    code, _, err = run_safs(*small, "--run-dir", killed, "--out", tmp_path / "other.json", "--resume", cwd=tmp_path)
    assert code == 0, err
    assert (tmp_path / "other.json").read_bytes() == (whole / "table.json").read_bytes()
    ids = [record["id"] for record in trials(records, killed)]
    assert len(ids) == len(set(ids)) == 16
    assert read_table(whole / "table.json").space.size == 16


def records_so_far(folder):
    return (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]


def test_an_interrupted_table_says_how_to_go_on(small, tmp_path, start_safs):
    process = start_safs(*small, "--run-dir", tmp_path / "run", "--out", tmp_path / "t.json")
    while not (tmp_path / "run" / "journal.jsonl").exists() or len(records_so_far(tmp_path / "run")) < 5:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    again = f"safs tabulate {tmp_path / 'run' / 'config.yaml'} --out {tmp_path / 't.json'}"
    assert f"{again} --run-dir {tmp_path / 'run'} --resume" in err


def test_a_space_that_is_too_large_is_refused_before_anything_is_trained(tiny_yaml, tmp_path, refused):
    operators = f"[{','.join(list(OPERATORS)[:17])}]"
    error = refused("tabulate", tiny_yaml, "--run-dir", tmp_path / "run", "--set", f"stage1.operators={operators}")
    assert "17 operators at 4 sites are 83,521 assignments, and a table has at most 65536" in error
    assert not (tmp_path / "run").exists()


def test_a_study_is_no_table(finished, refused, snapshot):
    before = snapshot(finished)
    error = refused("tabulate", finished / "config.yaml", "--run-dir", finished, "--resume")
    assert "begun with purpose study, but now finds table" in error
    assert snapshot(finished) == before


def test_a_refused_resume_rewrites_nothing(finished, refused, snapshot):
    """Not even the config, of which another section `compare` would be written."""
    config, before = finished / "config.yaml", snapshot(finished)
    error = refused("tabulate", config, "--set", "compare.seeds=7", "--run-dir", finished, "--resume")
    assert "begun with purpose study" in error
    assert snapshot(finished) == before


def test_a_file_that_is_no_table_is_refused_before_anything_is_trained(small, tmp_path, refused):
    (tmp_path / "note.txt").write_text("mine")
    error = refused(*small, "--run-dir", tmp_path / "run", "--out", tmp_path / "note.txt")
    assert "exists already, is no table" in error
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_a_table_in_place_of_the_run_directorys_journal_is_refused(small, tmp_path, call_safs, records):
    folder = tmp_path / "run"
    code, _, err = call_safs(*small, "--run-dir", folder, "--out", folder / "journal.jsonl")
    assert code == 2
    assert "exists already, is no table" in err.splitlines()[-1]
    assert len(trials(records, folder)) == 16


def test_people_are_told_what_is_wrong_with_the_network(tiny_values, tmp_path):
    told = []

    class Listener(Silent):
        def warning(self, text):
            told.append(text)

    values = tiny_values(prune={"ratio": 0.999}, stage1={"operators": ["relu"]})
    tabulate(Config.from_mapping(values), tmp_path / "run", Listener(), resume=False)
    assert any("signal is cut" in text or "have a path" in text for text in told)
