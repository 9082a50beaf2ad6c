"""Tables of costs as files: what is read is what was written, and what is damaged is refused in one line."""

import json
import math
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from safs.comparison.table import Table, check_writable, find_table, read_table, shipped_tables
from safs.config.schema import Config
from safs.outcome import Reason, Status
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError

SPACE = AssignmentSpace(["first", "second"], ["relu", "srs", "elu"])
OUTCOMES = (1.5, Reason.NAN, 0.1 + 0.2, 3.0, 2.0, 1e-300, 7, Reason.ERROR, 1.0)


@pytest.fixture
def table(tiny_values):
    config = Config.from_mapping(tiny_values(stage1={"operators": ["relu", "srs", "elu"]}))
    return Table(SPACE, OUTCOMES, config.model_dump(mode="json", by_alias=True), {"a": {}})


def test_costs_and_failures_stand_by_assignment(table):
    assert [table.outcome(assignment).cost for assignment in SPACE] == [
        None if isinstance(outcome, Reason) else outcome for outcome in OUTCOMES
    ]
    failed = table.outcome(("relu", "srs"))
    assert (failed.status, failed.reason) == (Status.FAILED, Reason.NAN)
    assert table.costs.count(math.inf) == 2
    with pytest.raises(SafsError, match="Unknown operator 'tanh'"):
        table.outcome(("relu", "tanh"))


def test_a_file_gives_back_every_bit(table, tmp_path):
    table.write(tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == table
    assert Config.from_mapping(table.config)


@pytest.mark.parametrize("outcomes", [OUTCOMES[:-1], (*OUTCOMES, 1.0)])
def test_as_many_outcomes_as_assignments(outcomes):
    with pytest.raises(SafsError, match="9 assignments"):
        Table(SPACE, outcomes, {}, {})


def test_a_table_of_failures_is_refused():
    with pytest.raises(SafsError, match="nothing to search"):
        Table(SPACE, (Reason.NAN,) * 9, {}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "no table of schema 1"),
        ({"costs": None}, "damaged"),
        ({"costs": [1.0] * 8}, "9 assignments"),
        ({"costs": [True] * 9}, "finite"),
        ({"costs": [float("nan")] * 9}, "finite"),
        ({"costs": ["LAZY"] * 9}, "LAZY"),
        ({"costs": [[1.0]] * 9}, "finite"),
        ({"sites": "ab"}, "`sites` is no list"),
        ({"sites": [1, 2]}, "`sites` is no list"),
        ({"sites": ["same", "same"]}, "twice"),
        ({"sites": [f"s{i}" for i in range(10**5)]}, "at most 65536"),
        ({"operators": []}, "at least one operator"),
        ({"config": 3}, "damaged"),
        ({"schema": True}, "no table of schema 1"),
        ({"costs": [10**400] * 9}, "finite number of at most 1e"),
        ({"costs": [-2e100] * 9}, "finite number of at most 1e"),
        ({"costs": {}}, "`costs` is no list"),
        ({"sites": ["first", "\ud800"]}, "`sites` is no list of names"),
        ({"sites": ["first", "a\nb"]}, "`sites` is no list of names"),
        ({"made_with": {"device": "\ud800"}}, "surrogates not allowed"),
        ({"config": {"model": "lenet5"}}, "Config key 'model'"),
        ({"operators": ["relu", "elu", "srs"]}, "not those of its config"),
    ],
    ids=str,
)
def test_a_damaged_file_is_refused(change, message, table, tmp_path):
    path = tmp_path / "table.json"
    table.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SafsError, match=message) as refused:
        read_table(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 10**5])
def test_what_is_no_table_is_refused(content, tmp_path):
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(SafsError, match="no table"):
        read_table(path)


def test_a_folder_and_an_absent_file_are_refused(tmp_path):
    with pytest.raises(SafsError, match="cannot be read"):
        read_table(tmp_path)
    with pytest.raises(SafsError, match=r"no table .*known: .*or a file"):
        find_table("absent")


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(SafsError, match="A table has a name of printable characters") as refused:
        find_table(name)
    assert str(refused.value).isprintable()


def test_only_a_new_file_or_a_table_is_written(table, tmp_path, snapshot):
    table.write(tmp_path / "table.json")
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = snapshot(tmp_path)
    for name in ("table.json", "new.json", "deeper/still/new.json"):
        check_writable(tmp_path / name)
    for name in ("note.txt", "folder"):
        with pytest.raises(SafsError, match="exists already, is no table"):
            check_writable(tmp_path / name)
    for path in (tmp_path / "note.txt" / "new.json", "/proc/new.json"):
        with pytest.raises(SafsError, match="cannot be written in"):
            check_writable(Path(path))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", shipped_tables())
def test_the_shipped_tables_are_whole_and_their_config_is_a_config(name):
    table = find_table(name)
    config = Config.from_mapping(table.config)
    assert 600 <= table.space.size <= 1500
    assert config.stage1.operators == table.space.operators
    assert sum(map(math.isfinite, table.costs)) > table.space.size / 2
    assert "/" not in json.dumps([table.config["model"], table.config["data"]])


@pytest.mark.parametrize("name", shipped_tables())
def test_the_config_of_a_shipped_table_is_what_its_command_in_the_readme_makes(name):
    """What was added to configs since then has its default in both."""
    root = Path(__file__).parents[3]
    readme = (root / "README.md").read_text(encoding="utf-8")
    command = re.search(rf"`{name}`, [\d,]+ assignments[^`]*`([^`]*--set [^`]*)`", readme)[1]
    settings = [value for option, value in pairwise(shlex.split(command)) if option == "--set"]
    assert Config.from_mapping(find_table(name).config) == Config.from_yaml(root / "safs" / "demo.yaml", settings)


def test_a_table_is_shipped():
    assert shipped_tables()
