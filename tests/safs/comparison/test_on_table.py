"""`safs compare --table`: equal budgets and starts, and one answer however it is come to."""

import pytest

from safs.comparison.compare import table_config
from searchers.registry import SEARCHERS
from spaces.errors import SafsError


def by_label(result):
    return {each["label"]: each for each in result["searchers"]}


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
            assert (cost, reason, free) == (table.outcome(assignment).cost, None, False)
    for each in result["searchers"]:
        assert (each["evaluations"], each["epochs"]) == (18, 18)
        assert len(each["curve"]["mean"]) == len(each["rank"]) == len(each["beats_random"]) == 9
    assert by_label(result)["rs"]["beats_random"] == [0.5] * 9
    assert result["setting"]["mode"] == "sequential"
    assert result["setting"]["charged"] == 18 * len(SEARCHERS)


def test_the_single_operators_are_given_to_all_and_cost_nothing(replay, table):
    result = replay("compare.searchers=[lahc,rs]", "compare.seeds=3", "stage1.start=uniform", "stage1.iterations=4")
    best_single = min(table.outcome(assignment).cost for assignment in table.space.uniform())
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
