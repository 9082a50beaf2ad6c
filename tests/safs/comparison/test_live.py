"""`safs compare CONFIG`: what is trained is trained once, and interruptions leave no trace in the result."""

import json
import signal
import time

import pytest

from safs.comparison.compare import compare_live
from safs.config.schema import Config
from safs.observer import Silent
from spaces.errors import SafsError


def test_training_comes_to_what_the_table_says(live, replay, comparison):
    """Seed 0 is the table's own: the same searches, bit for bit."""
    trained = comparison(live)
    replayed = replay("compare.searchers=[lahc,rs]", "compare.seeds=1", "stage1.start=random", "stage1.iterations=5")
    for ours, theirs in zip(trained["searchers"], replayed["searchers"], strict=True):
        assert ours["runs"][0] == theirs["runs"][0]
    assert trained["landscape"]["kind"] == "live"
    assert "evaluated with that seed" in trained["setting"]["best_of"]


def test_nothing_is_trained_twice_and_seeds_train_differently(live, records):
    trained = [record for record in records(live) if record.get("phase") in ("lahc", "rs")]
    ids = [record["id"] for record in trained]
    assert len(ids) == len(set(ids))
    asked = {
        (record["seed"], tuple(step[0]))
        for record in records(live)
        if record["kind"] == "run"
        for step in record["steps"]
    }
    assert {(record["spec"]["study_seed"], tuple(record["spec"]["assignment"])) for record in trained} == asked
    result = json.loads((live / "comparison.json").read_text())
    assert result["setting"]["distinct"] == len(trained) < result["setting"]["charged"] == 20
    assert result["searchers"][0]["shared"] >= 2  # the start, with each seed


@pytest.mark.thorough
def test_a_killed_comparison_is_resumed_and_comes_to_the_same(
    live, paper_yaml, tmp_path, start_safs, run_safs, records
):
    folder = tmp_path / "killed"
    arguments = ["compare", paper_yaml, "--searchers", "lahc,rs", "--seeds", "2", "--run-dir", folder]
    flags = []
    for count in (1, 4, 9):  # records: inputs, dense, then trials and runs
        process = start_safs(*arguments, *flags)
        journal = folder / "journal.jsonl"
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") <= count):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (folder / "comparison.json").exists()
        flags = ["--resume"]
    code, out, err = run_safs(*arguments, "--resume", PYTHONHASHSEED="5")
    assert code == 0, err
    assert (folder / "comparison.json").read_bytes() == (live / "comparison.json").read_bytes()
    ids = [record["id"] for record in records(folder) if record["kind"] == "trial"]
    assert len(ids) == len(set(ids))
    assert "Best mean rank" in out
    assert "Mode: sequential." in out


def test_an_interrupted_comparison_says_how_to_go_on(paper_yaml, tmp_path, start_safs, run_safs, comparison):
    folder = tmp_path / "run"
    process = start_safs("compare", paper_yaml, "--searchers", "sa", "--seeds", "2", "--run-dir", folder)
    while process.poll() is None and not (folder / "config.yaml").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"safs compare {folder / 'config.yaml'} --run-dir {folder} --resume" in err
    code, _, err = run_safs("compare", folder / "config.yaml", "--run-dir", folder, "--resume")
    assert code == 0, err
    result = comparison(folder)
    assert [each["label"] for each in result["searchers"]] == ["sa"]
    assert result["setting"]["seeds"] == [0, 1]


def test_what_is_announced_is_the_most_that_there_is_to_train(tiny_values, tmp_path):
    """Two operators at four sites: 14 assignments are searched, and 2 are given; each is trained once."""
    expected, phases, trained = [], [], []

    class Listener(Silent):
        def expect(self, work, share):
            expected.append(work)

        def phase(self, name, trials):
            phases.append((name, trials))

        def trial(self, phase, spec, outcome, cached):
            if phase in ("exhaustive", "rs"):
                trained.append((phase, cached))

    values = tiny_values(
        stage1={"start": "uniform", "iterations": 50, "operators": ["relu", "srs"]},
        compare={"searchers": ["exhaustive", "rs"], "seeds": 1},
    )
    compare_live(Config.from_mapping(values), tmp_path / "run", Listener(), resume=False)
    assert expected == [16]
    assert [each for each in phases if each[0] in ("exhaustive", "rs")] == [("exhaustive", 16), ("rs", 16)]
    assert sum(not cached for _, cached in trained) == 16


def test_where_everything_is_given_nothing_is_begun(tiny_values, tmp_path):
    values = tiny_values(stage1={"start": "uniform", "operators": ["relu"]})
    with pytest.raises(SafsError, match=r"With 1 operator at 4 sites, .* nothing is left to search; set stage1.start="):
        compare_live(Config.from_mapping(values), tmp_path / "run", Silent(), resume=False)
    assert not (tmp_path / "run").exists()


def test_people_are_told_what_is_wrong_with_the_network(tiny_values, tmp_path):
    told = []

    class Listener(Silent):
        def warning(self, text):
            told.append(text)

    values = tiny_values(prune={"ratio": 0.999}, stage1={"iterations": 1}, compare={"searchers": ["rs"], "seeds": 1})
    compare_live(Config.from_mapping(values), tmp_path / "run", Listener(), resume=False)
    assert any("signal is cut" in text or "have a path" in text for text in told)
