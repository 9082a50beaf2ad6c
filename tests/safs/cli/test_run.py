import json
import os

import pytest

from safs.config.schema import Config


@pytest.fixture
def nothing_left(tmp_path, tiny_yaml):
    """After the test the run directory does not exist."""
    yield tmp_path / "run"
    assert not (tmp_path / "run").exists()


def test_a_whole_study_from_another_working_directory(tiny_yaml, tiny_study, tmp_path, run_safs):
    """Run by another process, it has the summary of the one run by this: byte for byte."""
    away = tmp_path / "away"
    away.mkdir()
    code, out, err = run_safs("run", tiny_yaml, cwd=away, PYTHONHASHSEED="9")
    assert code == 0, err
    folder = away / "runs" / "tiny"
    assert (folder / "summary.json").read_bytes() == (tiny_study / "summary.json").read_bytes()
    assert "safs" in out
    assert out.rstrip().endswith(f"Report: {(folder / 'report.html').resolve()}")
    assert "SUCCEEDED" not in out
    assert "stage 2, safs: up to 6 trials" in err
    assert "Warning" not in err
    assert sorted(os.listdir(away)) == ["runs"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stage1.iteration=5"], "did you mean 'iterations'"),
        (["stage1.operators=[geluu]"], "Did you mean 'gelu'"),
        (["stage1.options.histroy=1"], "Did you mean 'history'"),
        (["stage1.searcher=lach"], "Did you mean 'lahc'"),
        (["train.optimizer=adma"], "Did you mean 'adam'"),
        (["model.name=lenet"], "Did you mean 'lenet5'"),
        (["data=digit"], "Did you mean 'digits'"),
        (["prune.method=magnitud"], "Did you mean 'magnitude'"),
        (["prune.ratio=1"], "prune.ratio"),
        (["prune.ratio=.nan"], "prune.ratio"),
        (["train.epochs=-1"], "epochs"),
        (["prune=null"], "prune.ratio"),
        (["data=mnist", "data.root=/absent"], "no data folder /absent"),
        (["model.pretrain=null", "model.checkpoint=absent.pt"], "no checkpoint at absent.pt"),
        (["seed"], "key=value"),
        (["model.kwargs.seed=1"], "'lenet5' could not be built"),
        (["stage1.options={start: []}"], "'lahc' has no option 'start'"),
        (["stage1.options={seed: 1}"], "'lahc' has no option 'seed'"),
        (["stage1.options={space: 1}"], "'lahc' has no option 'space'"),
        (["stage1.options={name: x}"], "'lahc' has no option 'name'"),
        (["seed=2020-13-45"], "--set seed is not valid YAML"),
        (["model.kwargs.num_classes=3"], "one logit for each of the 10 classes"),
    ],
    ids=str,
)
def test_bad_settings_are_one_line_and_make_nothing(settings, message, tiny_yaml, nothing_left, refused):
    flags = [flag for setting in settings for flag in ("--set", setting)]
    assert message in refused("run", tiny_yaml, "--run-dir", nothing_left, *flags)


def test_bad_input_is_no_traceback_in_a_real_process_either(tiny_yaml, tmp_path, run_safs):
    code, out, err = run_safs("run", tiny_yaml, "--set", "stage1.iteration=5", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("Error: Unknown key 'stage1.iteration'")
    assert err.count("\n") == 1


def test_a_missing_config_is_one_line(refused, tmp_path):
    assert "There is no config at" in refused("run", tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["", "- a", "a: [", "lenet5"])
def test_what_is_no_config_is_one_line(text, refused, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert "bad.yaml" in refused("run", path)


def test_wrong_usage_is_exit_2(call_safs):
    for arguments in (["run"], ["run", "a", "b"], ["runn"], ["run", "a", "--unknown"]):
        code, out, err = call_safs(*arguments)
        assert (code, out) == (2, "")
        assert "Traceback" not in err


def test_a_run_directory_that_is_not_empty_or_a_file_is_left_alone(finished, tiny_yaml, refused, snapshot, tmp_path):
    before = snapshot(finished)
    assert "--resume" in refused("run", tiny_yaml, "--run-dir", finished)
    path = tmp_path / "file"
    path.write_text("mine")
    for flags in ([], ["--resume"]):
        assert "is a file" in refused("run", tiny_yaml, "--run-dir", path, *flags)
    assert path.read_text() == "mine"
    assert snapshot(finished) == before


def test_another_config_on_resume_shows_the_difference_and_touches_nothing(finished, tiny_yaml, call_safs, snapshot):
    before = snapshot(finished)
    flags = ["--set", "stage1.iterations=7", "--set", "seed=3"]
    code, out, err = call_safs("run", tiny_yaml, "--run-dir", finished, "--resume", *flags)
    assert (code, out) == (2, "")
    assert "of another config" in err
    lines = [line.strip() for line in err.splitlines()]
    for line in ("-seed: 0", "+seed: 3", "-  iterations: 3", "+  iterations: 7"):
        assert line in lines
    assert "Traceback" not in err
    assert snapshot(finished) == before


def test_a_study_without_a_valid_trial_is_exit_3(tiny_values, tmp_path, call_safs):
    never = {"epochs": 1, "batch_size": 64, "optimizer": "sgd", "lr": 1e6, "schedule": "constant"}
    values = tiny_values(stage1={"operators": ["symexp"], "iterations": 2}) | {"train": never}
    path = tmp_path / "never.yaml"
    path.write_text(Config.from_mapping(values).to_yaml())
    code, out, err = call_safs("run", path, "--run-dir", tmp_path / "run")
    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("Error: Stage 1 spent its budget without a valid trial")
    assert "Traceback" not in err
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert kinds == ["inputs", "trial", "problem", "trial"]


def test_a_full_disk_is_one_line(tiny_yaml, small_disk, fill, refused):
    disk = small_disk(64)
    fill(disk)
    message = refused("run", tiny_yaml, "--run-dir", disk / "run")
    assert "The disk is full at" in message


def test_a_disk_that_fills_up_in_the_middle_is_one_line_after_the_progress(tiny_yaml, small_disk, run_safs):
    """The dense network, 177 kB, does not fit."""
    disk = small_disk(128)
    code, out, err = run_safs("run", tiny_yaml, "--run-dir", disk / "run")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: The disk is full at ")
    assert err.rstrip().endswith("free some space, and run the command again (a study goes on with --resume).")
    assert "Traceback" not in err
    kinds = [json.loads(line)["kind"] for line in (disk / "run" / "journal.jsonl").read_text().splitlines()]
    assert kinds == ["inputs"]


def test_a_demo_with_bad_settings_is_one_line_and_makes_nothing(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'seeds'" in refused("demo", "--set", "report.seed=1")
    assert list(tmp_path.iterdir()) == []


def test_every_demo_gets_a_folder_of_its_own(tmp_path):
    from safs.cli.run_command import _free_folder

    names = []
    for _ in range(3):
        names.append(_free_folder(tmp_path / "demo"))
        names[-1].mkdir()
    assert [path.name for path in names] == ["demo", "demo-2", "demo-3"]
