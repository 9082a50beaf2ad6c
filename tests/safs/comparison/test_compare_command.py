"""`safs compare`: the command line, its output and what it refuses."""

import json

import pytest


def test_the_command_replays_a_table_by_its_path_from_anywhere(table_file, tmp_path, run_safs, comparison):
    code, out, err = run_safs(
        "compare", "--table", table_file, "--searchers", "lahc,rs", "--seeds", "5",
        "--set", "stage1.iterations=4", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    folder = tmp_path / "runs" / "compare-tiny"
    assert f"Page: {(folder / 'comparison.html').resolve()}" in out
    assert "4 evaluations of 1 epoch (4 epochs; 3 given to all, 3 epochs), 5 seeds" in " ".join(out.split())
    assert comparison(folder)["landscape"]["name"] == "tiny"


def test_json_output_is_the_file(table_file, tmp_path, call_safs, comparison):
    code, out, _ = call_safs(
        "compare", "--table", table_file, "--searchers", "rs", "--run-dir", tmp_path / "run", "-o", "json"
    )
    assert code == 0
    assert json.loads(out) == comparison(tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TABLE", "--searchers", "lahc,annealing"], "Unknown searcher 'annealing'"),
        (["TABLE", "--searchers", ""], "needs at least one searcher"),
        (["TABLE", "--searchers", "lahc,lahc"], "each label only once"),
        (["TABLE", "--searchers", "lahc,["], "not valid YAML"),
        (["TABLE", "--seeds", "0"], "compare.seeds"),
        (["TABLE", "--set", "train.lr=1"], "would change what the table's costs"),
        (
            ["TABLE", "--set", "compare.searchers=[{searcher: lahc, options: {temperature: 1}}]"],
            "no option 'temperature'",
        ),
        (["TABLE", "--set", "compare.searchers=[{searcher: sa, options: {cooling: 2}}]"], "'cooling' must be a number"),
        (["TABLE", "--set", "compare.searchers=[{options: {}}]"], "searcher"),
        (["TABLE", "--set", "compare.searchers=[3]"], "compare.searchers"),
        (["TABLE", "--reference", "/absent"], "/absent/comparison.json cannot be read"),
        (
            ["TABLE", "--set", 'compare.searchers=[{searcher: rs, label: "a\\n\\nb"}]'],
            "printable characters on one line",
        ),
        (["--table", "absent.json"], "no table absent.json"),
        (["--table", ""], "A table has a name"),
        ([], "either CONFIG, to train, or --table"),
        (["CONFIG", "--table", "x"], "either CONFIG, to train, or --table"),
        (["/absent.yaml"], "no config at /absent.yaml"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_makes_nothing(arguments, message, table_file, tiny_yaml, tmp_path, refused):
    given = []
    for each in arguments:
        given += ["--table", table_file] if each == "TABLE" else [tiny_yaml if each == "CONFIG" else each]
    assert message in refused("compare", *given, "--run-dir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_directory_of_something_else_is_left_alone(
    live, table_file, finished, tiny_yaml, tmp_path, refused, snapshot
):
    for folder in (live, finished):
        before = snapshot(folder)
        assert "not empty" in refused("compare", tiny_yaml, "--run-dir", folder)
        assert snapshot(folder) == before
    error = refused("compare", finished / "config.yaml", "--run-dir", finished, "--resume")
    assert "begun with purpose study, but now finds comparison" in error


def test_another_table_is_refused(table_file, tmp_path, call_safs, refused):
    flags = ["--searchers", "rs", "--run-dir", tmp_path / "run"]
    assert call_safs("compare", "--table", table_file, *flags)[0] == 0
    other = json.loads(table_file.read_text())
    other["costs"][0] += 1.0
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert "begun with table" in refused("compare", "--table", tmp_path / "other.json", *flags, "--resume")


@pytest.fixture
def base(table_file, tmp_path, call_safs):
    """A comparison on the small table, and the arguments that go on with it."""
    arguments = ["compare", "--table", table_file, "--searchers", "rs", "--seeds", "2", "--run-dir", tmp_path / "base"]
    assert call_safs(*arguments)[0] == 0
    return tmp_path / "base", [*arguments, "--resume"]


def test_a_refused_resume_rewrites_nothing(base, table_file, tmp_path, refused, snapshot, monkeypatch):
    """Neither the config, whose section `compare` may change, nor leftovers; an upgrade is refused, too."""
    folder, _ = base
    other = json.loads(table_file.read_text())
    other["costs"][0] += 1.0
    (tmp_path / "other.json").write_text(json.dumps(other))
    (folder / ".comparison.json.0123456789abcdef.tmp").write_text("")
    before = snapshot(folder)
    changed = ["--seeds", "7", "--searchers", "ga", "--run-dir", folder, "--resume"]
    assert "begun with table" in refused("compare", "--table", tmp_path / "other.json", *changed)
    with monkeypatch.context() as patch:
        patch.setattr("safs.versions.__version__", "99")
        assert "begun with versions" in refused("compare", "--table", table_file, *changed)
    assert snapshot(folder) == before


def test_a_replay_does_not_go_on_as_a_training(base, refused, snapshot):
    folder, _ = base
    before = snapshot(folder)
    error = refused("compare", folder / "config.yaml", "--run-dir", folder, "--resume")
    assert "holds a comparison that replays a table; give --table, or start anew" in error
    assert snapshot(folder) == before


def test_a_training_does_not_go_on_as_a_replay(live, table_file, refused, snapshot):
    """Of the same config."""
    before = snapshot(live)
    same = ["--set", "stage1.start=random", "--set", "stage1.iterations=5"]
    error = refused("compare", "--table", table_file, *same, "--run-dir", live, "--resume")
    assert "holds a comparison that trains; give its config, not --table, or start anew" in error
    assert snapshot(live) == before


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "", "\x00"])
def test_a_damaged_config_of_a_run_directory_is_refused(text, base, refused, snapshot):
    folder, again = base
    (folder / "config.yaml").write_text(text)
    before = snapshot(folder)
    assert f"{folder / 'config.yaml'} is damaged" in refused(*again)
    assert snapshot(folder) == before


def test_true_is_no_1_in_a_recorded_config(base, refused, call_safs):
    folder, again = base
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("schema: 1", "schema: true"))
    code, _, err = call_safs(*again)
    assert code == 2
    assert "- there, + now):\n-schema: true\n+schema: 1" in err


def test_a_comparison_is_no_study_to_report_or_resume(live, refused, snapshot):
    before = snapshot(live)
    assert "holds a comparison of searchers, not a study" in refused("report", live)
    error = refused("run", live / "config.yaml", "--run-dir", live, "--resume")
    assert "begun with purpose comparison, but now finds study" in error
    assert snapshot(live) == before
