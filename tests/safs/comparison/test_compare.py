"""`safs compare`: equal budgets and starts, nothing trained twice, and one answer however it is interrupted."""

import itertools
import json
import signal
import time

import pytest

from safs.comparison.compare import compare_live, compare_on_table, table_config
from safs.comparison.reference import read_comparison
from safs.config.schema import Config
from safs.runner import Silent
from searchers.registry import SEARCHERS
from spaces.errors import SafsError


@pytest.fixture
def replay(table, tmp_path):
    """Replays the small table and returns the result."""
    numbers = itertools.count()

    def run(*settings, folder=None, resume=False, **options):
        folder = folder or tmp_path / f"replay{next(numbers)}"
        return compare_on_table(table, "tiny", settings, folder, Silent(), resume=resume, **options)

    return run


def by_label(result):
    return {each["label"]: each for each in result["searchers"]}


# On a table


def test_every_searcher_spends_the_same_budget_from_the_same_start(replay, tmp_path, records, table):
    result = replay(
        f"compare.searchers=[{','.join(sorted(SEARCHERS))}]",
        "compare.seeds=2",
        "stage1.start=random",
        "stage1.iterations=9",
        folder=tmp_path / "run",
    )
    runs = [record for record in records(tmp_path / "run") if record["kind"] == "run"]
    assert len(runs) == 2 * len(SEARCHERS)
    for seed in (0, 1):
        of_seed = [record["steps"] for record in runs if record["seed"] == seed]
        assert {len(steps) for steps in of_seed} == {9}
        assert len({tuple(steps[0][0]) for steps in of_seed}) == 1  # the starting assignment
    assert len({tuple(record["steps"][0][0]) for record in runs}) == 2  # another one with each seed
    for record in runs:
        for assignment, cost, reason, free in record["steps"]:
            assert (cost, reason, free) == (table.wait(assignment).cost, None, False)
    for each in result["searchers"]:
        assert (each["evaluations"], each["epochs"]) == (18, 18)
        assert len(each["curve"]["mean"]) == len(each["rank"]) == len(each["beats_random"]) == 9
    assert by_label(result)["rs"]["beats_random"] == [0.5] * 9
    assert result["setting"]["mode"] == "sequential"
    assert result["setting"]["charged"] == 18 * len(SEARCHERS)


def test_the_single_operators_are_given_to_all_and_cost_nothing(replay, table):
    result = replay("compare.searchers=[lahc,rs]", "compare.seeds=3", "stage1.start=uniform", "stage1.iterations=4")
    best_single = min(table.wait(assignment).cost for assignment in table.space.uniform())
    assert result["setting"]["given"] == 3
    for each in result["searchers"]:
        assert each["evaluations"] == 12
        for run in each["runs"]:
            assert run["incumbent"][0] <= best_single


def test_the_measures_are_those_of_the_runs(replay, tmp_path, records, table):
    result = replay(
        "compare.searchers=[ga,rs]", "compare.seeds=5", "stage1.start=random", "stage1.iterations=20",
        folder=tmp_path / "run",
    )  # fmt: skip
    costs = {}
    for record in records(tmp_path / "run"):
        if record["kind"] == "run":
            costs.setdefault(record["label"], []).append([step[1] for step in record["steps"]])
    threshold = sorted(table.costs)[int(0.05 * 81) - 1]
    for label, each in by_label(result).items():
        finals = [min(of_seed) for of_seed in costs[label]]
        assert each["final"]["mean"] == pytest.approx(sum(finals) / 5)
        assert [run["incumbent"][-1] for run in each["runs"]] == finals
        first = [next((n for n, cost in enumerate(c, 1) if cost <= threshold), None) for c in costs[label]]
        assert each["reach"]["best_5"]["by_seed"] == first
        assert each["reach"]["best_5"]["reached"] == pytest.approx(sum(n is not None for n in first) / 5)
    ga, rs = ([min(of_seed) for of_seed in costs[label]] for label in ("ga", "rs"))
    wins = sum((a < b) + (a == b) / 2 for a in ga for b in rs) / 25
    assert by_label(result)["ga"]["beats_random"][-1] == pytest.approx(wins)


def test_the_same_comparison_is_the_same_byte_for_byte(replay, tmp_path):
    for name in ("one", "two"):
        replay("compare.searchers=[sa,surrogate,tpe]", "stage1.iterations=8", folder=tmp_path / name)
    assert (tmp_path / "one/comparison.json").read_bytes() == (tmp_path / "two/comparison.json").read_bytes()


def test_more_seeds_and_searchers_go_on_and_old_runs_are_kept(replay, tmp_path, records):
    common = ("stage1.iterations=6",)
    folder = tmp_path / "grown"
    replay(*common, "compare.searchers=[lahc,rs]", "compare.seeds=2", folder=folder)
    before = records(folder)
    grown = replay(*common, "compare.searchers=[lahc,rs,sa]", "compare.seeds=4", folder=folder, resume=True)
    after = records(folder)
    assert after[: len(before)] == before
    assert len(after) - len(before) == 2 * 2 + 4
    assert grown == replay(*common, "compare.searchers=[lahc,rs,sa]", "compare.seeds=4")


def test_the_same_searcher_with_other_options_is_another_contestant(replay):
    variants = "[lahc, {searcher: lahc, options: {history: 50}}, {searcher: lahc, options: {history: 1}, label: hc}]"
    result = replay(f"compare.searchers={variants}", "stage1.iterations=25", "compare.seeds=6", "stage1.start=random")
    assert [each["label"] for each in result["searchers"]] == ["lahc", "lahc (history 50)", "hc"]
    assert [each["options"]["history"] for each in result["searchers"]] == [3, 50, 1]
    curves = [[run["incumbent"] for run in each["runs"]] for each in result["searchers"]]
    assert curves[1] != curves[2]


def test_the_number_pending_is_part_of_the_result(replay):
    common = ("stage1.iterations=12", "compare.searchers=[lahc,rs]", "stage1.start=random")
    sequential = replay(*common)
    four = replay(*common, "stage1.pending=4")
    assert four["setting"]["pending"] == 4
    assert "4 suggestions pending" in four["setting"]["mode"]
    assert by_label(four)["lahc"]["runs"] != by_label(sequential)["lahc"]["runs"]
    assert by_label(four)["rs"]["runs"] == by_label(sequential)["rs"]["runs"]  # it learns nothing


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs=3", "--set train.epochs would change what the table's costs were trained for"),
        ("stage1.epochs=2", "--set stage1.epochs would change"),
        ("stage1.operators=[relu]", "--set stage1.operators would change"),
        ("stage1={epochs: 2}", "--set stage1 would change"),
        ("seed=1", "--set seed would change"),
        ("stage1.searcher=sa", "--set stage1.searcher would change .* or is not read by a comparison"),
        ("stage1.options={history: 5}", "--set stage1.options would change"),
        ("stage1.finalists=1", "--set stage1.finalists would change"),
        ("stage1.iteratons=3", "--set stage1.iteratons would change"),
        ("compare.seds=3", "did you mean 'seeds'"),
    ],
)
def test_a_setting_that_would_change_the_costs_is_refused(setting, message, table):
    with pytest.raises(SafsError, match=message):
        table_config(table, [setting])


# Live


@pytest.fixture(scope="module")
def live(tmp_path_factory, tiny_values):
    """A comparison that was trained: two searchers, two seeds, five evaluations."""
    values = tiny_values(stage1={"start": "random", "iterations": 5}, compare={"searchers": ["lahc", "rs"], "seeds": 2})
    folder = tmp_path_factory.mktemp("live") / "run"
    compare_live(Config.from_mapping(values), folder, Silent(), resume=False)
    return folder


def test_training_comes_to_what_the_table_says(live, replay, comparison):
    """Seed 0 is the table's own: the same searches, bit for bit."""
    trained = comparison(live)
    replayed = replay("compare.searchers=[lahc,rs]", "compare.seeds=1", "stage1.start=random", "stage1.iterations=5")
    for ours, theirs in zip(trained["searchers"], replayed["searchers"], strict=True):
        assert ours["runs"][0] == theirs["runs"][0]
    assert trained["landscape"]["kind"] == "live"
    assert "evaluated with that seed" in trained["setting"]["best_of"]


def test_nothing_is_trained_twice_and_seeds_train_differently(live, records):
    trained = [record for record in records(live) if record.get("phase") == "compare"]
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


# The command line


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


def test_a_reference_says_whether_the_two_agree(table_file, live, tmp_path, call_safs, comparison):
    common = ["--searchers", "lahc,rs", "--seeds", "5", "--set", "stage1.iterations=5"]
    code, out, _ = call_safs(
        "compare", "--table", table_file, *common, "--reference", live, "--run-dir", tmp_path / "run"
    )
    assert code == 0
    assert "lenet5 on digits (2 seeds; 5 seeds here): no pair is significant in both" in out
    assert comparison(tmp_path / "run")["agreement"]["with"] == "lenet5 on digits"


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
        patch.setattr("safs.session.__version__", "99")
        assert "begun with versions" in refused("compare", "--table", table_file, *changed)
    assert snapshot(folder) == before


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


REFERENCE = {
    "landscape": {"name": "t"},
    "setting": {"seeds": [0], "iterations": 2, "epochs": 1, "start": "random", "pending": 1},
    "searchers": [
        {"label": name, "searcher": name, "options": {}, "rank": [1.5, 1.5], "runs": [{"incumbent": [None, 2.0]}]}
        for name in ("lahc", "rs")
    ],
    "significance": {
        "ranks": {"lahc": 1.5, "rs": 1.5},
        "pairs": [{"searchers": ["lahc", "rs"], "p": 1, "better": None}],
    },
}


def changed(path, value):
    """Return the text of a reference in which one value is another."""
    content = json.loads(json.dumps(REFERENCE))
    *outer, last = path
    part = content
    for key in outer:
        part = part[key]
    part[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10**5,
        "9" * 5000,
        *(changed([key], {}) for key in REFERENCE),
        changed(["landscape", "name"], 3),
        changed(["landscape", "name"], "\ud800"),
        changed(["setting", "seeds"], 3),
        changed(["setting", "seeds"], [0, 1]),
        changed(["setting", "iterations"], True),
        changed(["setting", "start"], None),
        changed(["setting", "pending"], 0),
        changed(["searchers", 0], "lahc"),
        changed(["searchers", 0, "label"], "rs"),
        changed(["searchers", 0, "label"], ["lahc"]),
        changed(["searchers", 0, "options"], []),
        changed(["searchers", 0, "rank"], []),
        changed(["searchers", 0, "rank", 1], float("nan")),
        changed(["searchers", 0, "rank", 1], 10**400),
        changed(["searchers", 0, "runs"], []),
        changed(["searchers", 0, "runs", 0, "incumbent"], []),
        changed(["searchers", 0, "runs", 0, "incumbent", 1], "low"),
        changed(["significance", "ranks"], []),
        changed(["significance", "ranks"], {"lahc": 1.0}),
        changed(["significance", "ranks", "lahc"], "first"),
        changed(["significance", "pairs", 0], {}),
        changed(["significance", "pairs", 0, "searchers"], ["lahc"]),
        changed(["significance", "pairs", 0, "searchers"], ["lahc", "absent"]),
        changed(["significance", "pairs", 0, "p"], float("inf")),
        changed(["significance", "pairs", 0, "better"], 1),
    ],
    ids=lambda text: text[:20] if len(text) < 100 else None,
)
def test_a_damaged_reference_is_refused_before_anything_is_made(text, table_file, tmp_path, refused):
    (tmp_path / "comparison.json").write_text(text)
    error = refused("compare", "--table", table_file, "--reference", tmp_path, "--run-dir", tmp_path / "run")
    assert f"{tmp_path / 'comparison.json'} is no comparison, or damaged" in error
    assert not (tmp_path / "run").exists()


def test_a_whole_reference_is_read(tmp_path):
    (tmp_path / "comparison.json").write_text(json.dumps(REFERENCE))
    assert read_comparison(tmp_path) == REFERENCE


def test_people_are_told_what_is_wrong_with_the_network(tiny_values, tmp_path):
    told = []

    class Listener(Silent):
        def warning(self, text):
            told.append(text)

    values = tiny_values(prune={"ratio": 0.999}, stage1={"iterations": 1}, compare={"searchers": ["rs"], "seeds": 1})
    compare_live(Config.from_mapping(values), tmp_path / "run", Listener(), resume=False)
    assert any("signal is cut" in text or "have a path" in text for text in told)


def test_a_comparison_is_no_study_to_report_or_resume(live, refused, snapshot):
    before = snapshot(live)
    assert "holds a comparison of searchers, not a study" in refused("report", live)
    error = refused("run", live / "config.yaml", "--run-dir", live, "--resume")
    assert "begun with purpose comparison, but now finds study" in error
    assert snapshot(live) == before
