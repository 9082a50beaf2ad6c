"""What the journal holds of a contest: read back whole, refused where it is damaged, budgets no larger than a space."""

import itertools
import json

import pytest

from safs.comparison.compare import compare_on_table, table_config
from safs.comparison.table import Table
from safs.config.compare import CompareConfig
from safs.config.schema import Config
from safs.config.section import ConfigError
from safs.observer import Silent
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SETTINGS = ("compare.searchers=[rs]", "compare.seeds=1", "stage1.iterations=3", "stage1.start=random")


@pytest.fixture
def damaged(table, tmp_path, records):
    """Returns the error of a comparison whose only run was changed in the journal, after checking that it is one."""

    def refuse(change, settings=SETTINGS):
        folder = tmp_path / "run"
        compare_on_table(table, "tiny", settings, folder, Silent(), resume=False)
        *others, run = records(folder)
        change(run)
        lines = [json.dumps(record) + "\n" for record in (*others, run)]
        (folder / "journal.jsonl").write_text("".join(lines))
        with pytest.raises(SafsError) as refused:
            compare_on_table(table, "tiny", settings, folder, Silent(), resume=True)
        assert str(refused.value).isprintable()
        assert str(folder / "journal.jsonl") in str(refused.value)
        assert refused.value.exit_code == 2
        return str(refused.value)

    return refuse


def step(number, **changes):
    """Returns a change of a step's assignment, cost, reason or mark."""
    places = ("assignment", "cost", "reason", "free")

    def change(run):
        for name, value in changes.items():
            run["steps"][number][places.index(name)] = value

    return change


def one_more(run):
    asked = [assignment for assignment, *_ in run["steps"]]
    other = next(list(each) for each in itertools.product(["relu", "srs"], repeat=4) if list(each) not in asked)
    run["steps"].append([other, 1.0, None, False])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.pop("key"), "`key` is no text"),
        (lambda run: run.update(key=["x"]), "`key` is no text"),
        (lambda run: run.pop("steps"), "'steps' is missing"),
        (lambda run: run.update(steps=3), "not iterable"),
        (lambda run: run.update(seed=1), "`seed` is not 0"),
        (lambda run: run.update(seed=False), "`seed` is not 0"),
        (step(1, cost="low"), "no finite number"),
        (step(1, cost=True), "no finite number"),
        (step(1, cost=float("nan")), "no finite number"),
        (step(1, cost=10**400), "no finite number"),
        (step(1, reason="NAN"), "either a cost or a reason"),
        (step(1, cost=None), "either a cost or a reason"),
        (step(1, cost=None, reason="LAZY"), "LAZY"),
        (step(1, free=True), "marked free"),
        (step(1, free=0), "marked free"),
        (step(1, assignment="relu"), "no list"),
        (step(1, assignment=["relu"] * 3), "4 sites"),
        (step(1, assignment=["relu", "relu", "relu", "elu"]), "Unknown operator 'elu'"),
        (step(1, assignment=["relu", "relu", "relu", ["\ud800"]]), "Unknown operator"),
        (lambda run: run["steps"].extend(run["steps"]), "stands there twice"),
        (one_more, "4 steps that cost something, not 3"),
        (lambda run: run["steps"].pop(), "2 steps that cost something, not 3"),
        (lambda run: run["steps"][0].pop(), "not enough values"),
    ],
)
def test_a_damaged_run_is_refused(change, message, damaged):
    assert message in damaged(change)


def test_a_given_start_is_free(damaged):
    settings = (*SETTINGS[:-1], "stage1.start=uniform")
    assert "marked free" in damaged(step(0, free=False), settings)


@pytest.mark.parametrize(("start", "left"), [("random", 81), ("uniform", 78)])
def test_a_budget_is_no_larger_than_what_there_is_to_search(start, left, table, tmp_path, records):
    """The single operators are given: nobody can be charged for them."""
    folder, settings = tmp_path / "run", (*SETTINGS[:2], "stage1.iterations=100000000", f"stage1.start={start}")
    for resume in (False, True):
        result = compare_on_table(table, "tiny", settings, folder, Silent(), resume=resume)
        (searcher,) = result["searchers"]
        assert result["setting"]["iterations"] == len(searcher["runs"][0]["incumbent"]) == left
        assert searcher["evaluations"] == left
        assert searcher["final"]["mean"] == min(table.costs)
    assert "iterations: 100000000" in (folder / "config.yaml").read_text()
    assert [record["kind"] for record in records(folder)] == ["inputs", "run"]


def test_a_run_of_the_whole_space_that_lacks_a_step_is_refused(damaged):
    settings = (*SETTINGS[:2], "stage1.iterations=100", "stage1.start=uniform")
    assert "77 steps that cost something, not 78" in damaged(lambda run: run["steps"].pop(), settings)


@pytest.mark.parametrize(("sites", "operators"), [(["a"], ["relu", "srs"]), (["a", "b"], ["relu"])])
def test_where_everything_is_given_there_is_nothing_to_search(sites, operators, tiny_values, tmp_path):
    config = Config.from_mapping(tiny_values(stage1={"operators": operators}))
    costs = (1.0,) * len(operators)
    small = Table(AssignmentSpace(sites, operators), costs, config.model_dump(mode="json", by_alias=True), {})
    folder = tmp_path / "run"
    with pytest.raises(SafsError, match=r"nothing is left to search; set stage1.start=random, or search several"):
        compare_on_table(small, "small", ["stage1.start=uniform"], folder, Silent(), resume=False)
    assert not folder.exists()
    result = compare_on_table(small, "small", ["stage1.start=random"], folder, Silent(), resume=False)
    assert result["setting"]["iterations"] == len(operators)


@pytest.mark.parametrize(
    ("one", "two"), [("rs", "{searcher: rs}"), ("lahc", "{searcher: lahc, options: {history: 3}}")]
)
def test_one_searcher_under_two_labels_is_refused(one, two, table):
    given = f"compare.searchers=[{{searcher: {one}, label: mine}}, sa, {two[:-1]}, label: again}}]"
    with pytest.raises(ConfigError, match=r"The contestants 'mine' and 'again' .* are the same searcher") as refused:
        table_config(table, [given])
    assert refused.value.key == "compare.searchers"


def test_a_wrong_option_is_said_of_its_contestant():
    wrong = [{"searcher": "sa", "options": {"cooling": 2}, "label": "fast"}, {"searcher": "sa"}]
    with pytest.raises(ConfigError, match=r"^Contestant 'fast' of compare.searchers: 'cooling' must be a number"):
        CompareConfig.from_mapping({"searchers": wrong})


@pytest.mark.parametrize("label", ["a\nb", "a\n\n\nb", "\x1b[31m", " ", "x" * 61, "\ud800"])
def test_a_label_is_one_printable_line(label):
    with pytest.raises(SafsError, match="label"):
        CompareConfig.from_mapping({"searchers": [{"searcher": "rs", "label": label}]})


def test_options_too_long_for_a_label_ask_for_one():
    options = {"temperature": 1.0000000000000002, "cooling": 0.12345678901234567, "calibration": 1000}
    with pytest.raises(SafsError, match="give it one, such as `label: mine`"):
        CompareConfig.from_mapping({"searchers": [{"searcher": "sa", "options": options}]})
    named = CompareConfig.from_mapping({"searchers": [{"searcher": "sa", "options": options, "label": "mine"}]})
    assert named.searchers[0].label == "mine"
