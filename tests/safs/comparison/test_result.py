"""What a contest comes to where it is hard: failures, exhausted spaces, one searcher, and agreement."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from safs.comparison.agreement import agreement
from safs.comparison.contest import Run
from safs.comparison.result import Landscape, evaluate_contest
from safs.comparison.text import conclusion, failures, summary_lines, summary_table
from safs.config.schema import Config
from safs.outcome import Reason, Status, TrialOutcome
from safs.search import Evaluation
from spaces.assignment import AssignmentSpace

SPACE = AssignmentSpace(["first", "second"], ["relu", "srs", "elu"])
ALL = list(SPACE)


def evaluation(assignment, cost):
    """Return a step of a run whose trial came to a cost, or failed where it is None."""
    if cost is None:
        return Evaluation(assignment, TrialOutcome(Status.FAILED, reason=Reason.NAN), free=False)
    return Evaluation(assignment, TrialOutcome(Status.SUCCEEDED, cost=cost), free=False)


@pytest.fixture
def evaluated(tiny_values):
    """Evaluates runs given as costs (None for a failure) by label and seed."""

    def evaluate(runs, costs=None, iterations=3):
        values = tiny_values(
            stage1={"iterations": iterations, "start": "random"},
            compare={"searchers": [{"searcher": label.split()[0], "label": label} for label in runs]},
        )
        contest = {
            label: [Run(seed, tuple(map(evaluation, ALL, costs))) for seed, costs in enumerate(seeds)]
            for label, seeds in runs.items()
        }
        return evaluate_contest(Config.from_mapping(values), Landscape("made up", SPACE, costs), contest)

    return evaluate


def test_failures_are_counted_by_reason_and_shown(evaluated):
    result = evaluated({"lahc": [[None, 2.0, None], [1.0, 2.0, 3.0]], "rs": [[None] * 3, [None] * 3]})
    lahc, rs = result["searchers"]
    assert (lahc["failed"], rs["failed"]) == ({"NAN": 2}, {"NAN": 6})
    assert failures(rs["failed"]) == "6 NAN"
    assert lahc["curve"]["mean"] == [1.0, 1.5, 1.5]
    assert lahc["curve"]["seeds"] == [1, 2, 2]
    assert rs["curve"]["mean"] == [None] * 3
    assert rs["final"] == {"mean": None, "std": 0.0, "n": 0}
    assert rs["runs"][0]["incumbent"] == [None] * 3
    assert [each["rank"][-1] for each in result["searchers"]] == [1.0, 2.0]
    assert "lahc" in conclusion(result)


def test_everything_failing_is_a_result_too(evaluated):
    result = evaluated({"lahc": [[None] * 3], "rs": [[None] * 3]})
    for each in result["searchers"]:
        never = {"median": None, "interval": [None, None], "reached": 0.0, "by_seed": [None]}
        assert each["reach"]["best_1"] == never
    assert summary_lines(result)


def test_whoever_finds_the_one_assignment_that_trains_is_among_the_best(evaluated):
    """Among the best two, the second of which failed."""
    costs = [1.0] + [math.inf] * 255
    result = evaluated({"lahc": [[None, 1.0]], "rs": [[None, None]]}, costs=costs, iterations=2)
    assert result["setting"]["best"]["best_1"] == 2
    assert [each["reach"]["best_1"]["by_seed"] for each in result["searchers"]] == [[2], [None]]


def test_the_best_share_ends_where_failures_begin(evaluated):
    costs = [float(n) for n in range(3)] + [math.inf] * 97
    (each,) = evaluated({"rs": [[None, 2.0]]}, costs=costs)["searchers"]
    assert each["reach"]["best_5"]["by_seed"] == [2]


def test_costs_below_zero_have_a_minus(evaluated):
    result = evaluated({"lahc": [[-1.0], [-2.0]], "rs": [[-1e6], [-1e6]]})
    assert "−1.5000 ± 0.7071" in shown(result)
    assert "−1.00e+06 ± 0.0000" in shown(result)


def shown(result):
    """Return the table of the terminal as text of one line."""
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(result))
    return " ".join(console.file.getvalue().split())


def test_a_mean_that_leaves_seeds_out_says_so(evaluated):
    result = evaluated({"lahc": [[None] * 3, [1.0], [2.0]], "rs": [[1.0], [1.0], [1.0]]})
    assert "lahc 1.5000 ± 0.7071 (2 of 3)" in shown(result)
    assert shown(result).count(" of 3)") == 1


def test_the_best_of_few_assignments_is_called_what_it_is(evaluated):
    live = evaluated({"lahc": [[3.0, 2.0, 1.0]], "rs": [[2.5, 1.0]]})
    assert live["setting"]["best"] == {"best_1": 1, "best_5": 1}
    assert "the best one of the assignments evaluated with that seed, as 5 % of so few are no more" in shown(live)
    table = evaluated({"lahc": [[1.0]]}, costs=[float(n) for n in range(1, 61)])
    assert table["setting"]["best"] == {"best_1": 1, "best_5": 3}
    assert "the best 1 % or 5 % of all assignments, of which 1 % is one" in shown(table)


def test_what_diverged_takes_no_more_room_than_others(evaluated):
    result = evaluated({"lahc": [[1e30], [3e30]], "rs": [[1.0], [1.0]]})
    assert "lahc 2.00e+30 ± 1.41e+30" in shown(result)


def test_it_is_said_how_many_seeds_it_takes(evaluated):
    runs = {name: [[1.0]] * 3 for name in ("lahc", "sa", "rs", "ga")}
    (warning,) = [line for line in summary_lines(evaluated(runs)) if "says nothing about the searchers" in line]
    assert warning.startswith("With 3 seeds and 6 pairs of searchers")
    assert warning.endswith("It takes 8 seeds.")
    result = evaluated({name: [[n + 1.0]] * 8 for n, name in enumerate(runs)}, iterations=1)
    assert min(pair["p"] for pair in result["significance"]["pairs"]) < 0.05


def test_intervals_hold_what_they_are_of(evaluated):
    often = [[float(cost)] for cost in np.random.default_rng(0).normal(10.0, 1.0, 40)]
    rarely = [[float(cost)] for cost in np.random.default_rng(1).normal(10.5, 1.0, 40)]
    lahc, rs = evaluated({"lahc": often, "rs": rarely}, iterations=1)["searchers"]
    for value, (low, high) in (
        (lahc["rank"][-1], lahc["rank_interval"]),
        (lahc["beats_random"][-1], lahc["beats_random_interval"]),
    ):
        assert low < value < high
    assert lahc["rank_interval"][0] + rs["rank_interval"][1] == pytest.approx(3.0)
    assert rs["beats_random_interval"] == [0.5, 0.5]


def test_after_the_last_evaluation_its_incumbent_stays(evaluated):
    (each,) = evaluated({"rs": [[3.0, 1.0]]}, iterations=4)["searchers"]
    assert each["runs"][0]["incumbent"] == [3.0, 1.0, 1.0, 1.0]
    assert (each["evaluations"], each["epochs"]) == (2, 2)


def test_the_best_share_is_of_the_table_or_else_of_what_was_evaluated(evaluated):
    runs = {"lahc": [[5.0, 4.0, 3.0]], "rs": [[5.0, 4.0, 3.0]]}
    on_table = evaluated(runs, costs=[5.0, 4.0, 3.0, 1.0, math.inf, 6.0, 7.0, 8.0, 9.0])
    assert on_table["searchers"][0]["reach"]["best_5"]["by_seed"] == [None]
    assert (on_table["landscape"]["failed"], on_table["landscape"]["best"]) == (1, 1.0)
    assert evaluated(runs)["searchers"][0]["reach"]["best_5"]["by_seed"] == [3]


def test_nothing_is_concluded_from_one_searcher_or_from_noise(evaluated):
    assert "nothing to compare" in conclusion(evaluated({"rs": [[1.0, 2.0, 3.0]]}))
    alike = evaluated({"lahc": [[1.0, 2.0, 3.0], [4.0, 2.0, 1.0]], "rs": [[4.0, 2.0, 1.0], [1.0, 2.0, 3.0]]})
    assert "Not told apart from lahc by 2 seeds" in conclusion(alike)
    assert "Significantly worse" not in conclusion(alike)


def clearly(better, worse, evaluated, seeds=12):
    """A comparison in which one searcher is better with every seed; with six seeds and more, significantly."""
    runs = {better: [[1.0 + seed / 100] for seed in range(seeds)], worse: [[2.0 + seed / 100] for seed in range(seeds)]}
    return evaluated({label: runs[label] for label in sorted(runs)}, iterations=1)


def test_a_searcher_that_wins_often_but_loses_more_is_not_called_better(evaluated):
    """Mean ranks favour lahc, signed ranks rs."""
    often = [[1.0 - seed / 10_000] for seed in range(60)] + [[1.2 + seed / 1000] for seed in range(40)]
    result = evaluated({"lahc": often, "rs": [[1.001]] * 60 + [[1.0]] * 40}, iterations=1)
    (pair,) = result["significance"]["pairs"]
    assert result["significance"]["ranks"]["lahc"] < result["significance"]["ranks"]["rs"]
    assert pair["better"] == "rs"
    assert pair["p"] < 0.05
    assert "Significantly worse" not in conclusion(result)
    assert "Better by the signed ranks, though not by mean rank: rs" in conclusion(result)


@pytest.fixture
def alike(evaluated):
    """A comparison whose lahc and rs differ significantly, but for Friedman's test of all three."""
    rs = [1.0 + seed / 100 for seed in range(22)] + [-0.01 - seed / 1000 for seed in range(18)]
    finals = {"lahc": [0.0] * 40, "rs": rs, "sa": [5.0, -5.0] * 20}
    return evaluated({label: [[cost] for cost in costs] for label, costs in finals.items()}, iterations=1)


def test_nothing_is_called_different_where_friedmans_test_finds_no_difference(alike):
    assert min(pair["p"] for pair in alike["significance"]["pairs"]) < 0.05 < alike["significance"]["friedman"]
    assert "Significantly worse" not in conclusion(alike)
    found = agreement(alike, alike)
    assert (found["verdict"], found["certain"], found["both"]) == ("cannot tell", 0, 0)


def test_two_comparisons_agree_or_contradict_only_where_both_are_sure(evaluated):
    ours, theirs = clearly("lahc", "rs", evaluated), clearly("rs", "lahc", evaluated)
    assert "Significantly worse (Wilcoxon signed-rank, Holm's correction, 5 %): rs." in conclusion(ours)
    same, other = agreement(ours, ours), agreement(ours, theirs)
    assert (same["verdict"], same["tau"], same["both"], same["same"]) == ("agrees", pytest.approx(1.0), 1, 1)
    assert (other["verdict"], other["tau"], other["same"]) == ("contradicts", pytest.approx(-1.0), 0)
    lines = summary_lines(ours | {"agreement": other})
    assert lines[-1].startswith(
        "Contradicts made up (12 seeds; 12 seeds here): significantly the other way round here: rs"
    )


@pytest.mark.parametrize("few_here", [True, False])
def test_few_seeds_neither_confirm_nor_contradict(few_here, evaluated):
    few, many = clearly("lahc", "rs", evaluated, seeds=3), clearly("rs", "lahc", evaluated)
    found = agreement(few, many) if few_here else agreement(many, few)
    assert (found["verdict"], found["tau"]) == ("cannot tell", pytest.approx(-1.0))
    assert found["certain"] == few_here
    assert "Neither confirms nor contradicts" in summary_lines(few | {"agreement": found})[-1]


def test_agreement_is_of_the_same_searchers_ranked_among_themselves(evaluated):
    runs = {"lahc": [[1.0]] * 6, "rs": [[3.0]] * 6, "sa": [[2.0]] * 6}
    found = agreement(evaluated(runs, iterations=1), clearly("lahc", "rs", evaluated))
    assert found["ranks"] == {"lahc": [1.0, 1.0], "rs": [2.0, 2.0]}
    assert found["settings"] == {}


@pytest.mark.parametrize(
    ("theirs", "told"), [({"sa": [[1.0]], "rs": [[1.0]]}, "no searcher"), ({"lahc": [[1.0]]}, "lahc alone")]
)
def test_comparisons_that_share_no_two_searchers_cannot_be_held_against_each_other(theirs, told, evaluated):
    ours = evaluated({"lahc": [[1.0]], "ga": [[1.0]]})
    found = agreement(ours, evaluated(theirs))
    assert found["verdict"] == "not comparable"
    said = summary_lines(ours | {"agreement": found})[-1]
    assert said.startswith(f"Cannot be held against made up: they share {told} ")


def test_other_options_are_another_searcher_and_other_settings_are_told(evaluated):
    ours, theirs = clearly("lahc", "rs", evaluated), clearly("lahc", "rs", evaluated)
    theirs["setting"]["iterations"] = 7
    found = agreement(ours, theirs)
    assert found["settings"] == {"iterations": [1, 7]}
    assert "The settings differ (here and there): iterations 1 and 7." in summary_lines(ours | {"agreement": found})[-1]
    theirs["searchers"][0]["options"] = {"history": 50}
    assert agreement(ours, theirs)["verdict"] == "not comparable"
