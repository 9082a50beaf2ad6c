import json
import math

import pytest

from safs import step_time


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr(step_time, "ENOUGH", 0.0)


@pytest.fixture
def nowhere(tmp_path, tiny_yaml, monkeypatch):
    """The current directory, which must hold nothing but the config afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == [tiny_yaml]


@pytest.mark.usefixtures("nowhere")
def test_the_numbers_of_a_small_study(tiny_yaml, call_safs):
    code, out, _ = call_safs("run", tiny_yaml, "--dry-run", "-o", "json")
    assert code == 0
    planned = json.loads(out)
    assert [site["name"] for site in planned["sites"]] == ["relu1", "relu2", "relu3", "relu4"]
    assert [site["operator"] for site in planned["sites"]] == ["relu"] * 4
    assert planned["gates"] == []
    assert planned["operators"] == ["relu", "srs", "tanh"]
    assert planned["space"] == 81
    data = {"name": "digits", "examples": 1438, "shape": [1, 28, 28], "classes": 10, "streamed": False}
    assert {name: planned["data"][name] for name in data} == data
    columns = ("phase", "trials", "epochs", "examples_per_epoch", "steps")
    assert [tuple(phase[name] for name in columns) for phase in planned["phases"]] == [
        ("dense", 1, 1, 1438, 1438 // 128),
        ("uniform", 3, 3, 1438, 3 * (1438 // 256)),
        ("stage1", 3, 3, 1438, 3 * (1438 // 256)),
        ("finalists", 4, 8, 1438, 8 * (1438 // 256)),
        ("safs", 6, 6, 719, 6 * (719 // 256)),
        ("stage2", 6, 6, 719, 6 * (719 // 256)),
        ("final", 10, 20, 1438, 20 * (1438 // 256)),
    ]
    for name in ("trials", "epochs", "steps", "seconds"):
        assert planned["total"][name] == sum(phase[name] for phase in planned["phases"])


def test_the_estimate_is_steps_times_what_one_of_their_kind_takes(tiny_yaml, call_safs):
    _, out, _ = call_safs("run", tiny_yaml, "--dry-run", "-o", "json")
    planned = json.loads(out)
    seconds = {(s["network"], *s["assignment"], s["learn"], s["optimizer"]): s["seconds"] for s in planned["steps"]}
    assert len(seconds) == len(planned["steps"])
    assert all(value > 0 and math.isfinite(value) for value in seconds.values())
    phases = {phase["phase"]: phase for phase in planned["phases"]}
    dense = seconds["dense", "relu", "relu", "relu", "relu", False, "adam"]
    assert phases["dense"]["seconds"] == pytest.approx(phases["dense"]["steps"] * dense)
    mixed = seconds["pruned", "relu", "srs", "tanh", "relu", False, "adam"]
    assert phases["stage1"]["seconds"] == pytest.approx(phases["stage1"]["steps"] * mixed)
    # Three configurations, on two folds of two steps each.
    learned = [seconds["pruned", "relu", "relu", "relu", "relu", True, name] for name in ("sgd", "adam", "fromage")]
    assert phases["stage2"]["seconds"] == pytest.approx(4 * sum(learned))


@pytest.mark.usefixtures("nowhere")
def test_the_table_says_it_in_words(tiny_yaml, run_safs, tmp_path):
    code, out, err = run_safs("run", tiny_yaml, "--dry-run", "--run-dir", "elsewhere", cwd=tmp_path)
    assert code == 0, err
    assert "lenet5 on digits: 1,438 examples of 1×28×28" in out
    assert "4 activation sites: relu1 (relu), relu2 (relu), relu3 (relu), relu4 (relu)\n" in out
    assert "3 operators: relu, srs, tanh\n" in out
    assert "Stage 1 chooses among 3^4 = 81 assignments." in out
    assert "At most 33 trials, 47 epochs; an estimated " in out
    assert "on cpu (1 thread), one trial after the other." in out
    assert "Not included: " in out
    lines = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}
    assert rows["stage 2, safs"][:3] == ["6", "6", "719"]
    assert rows["final rows"][:3] == ["10", "20", "1,438"]
    assert "Measuring training steps: 1 of " in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dry-run", "--set", "data=mnist", "--set", "data.root=/absent"], "There is no data folder /absent"),
        (["--dry-run", "--set", "stage1.iteration=5"], "did you mean 'iterations'"),
        (["--dry-run", "--set", "model.kwargs.num_classes=3"], "one logit for each of the 10 classes"),
        (["--dry-run", "--resume"], "leave out --resume"),
        (["-o", "json"], "leave out -o json, which is for --dry-run"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(flags, message, tiny_yaml, refused):
    assert message in refused("run", tiny_yaml, *flags)


@pytest.mark.parametrize(("size", "text"), [(81, "81"), (13**4, "28,561"), (13**15, "5.1e16"), (13**400, "3.8e445")])
def test_a_space_larger_than_any_float_can_be_read(size, text):
    from safs.cli.dry_run_output import _rounded

    assert _rounded(size) == text
