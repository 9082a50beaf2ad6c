"""What a contest comes to where it is hard: failures, exhausted spaces, one searcher, and agreement."""

import math

import pytest

from safs.comparison.agreement import agreement
from safs.comparison.contest import Run
from safs.comparison.result import Landscape, evaluate_contest
from safs.comparison.text import conclusion, failures, summary_lines
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
        assert each["reach"]["best_1"] == {"median": None, "reached": 0.0, "by_seed": [None]}
    assert summary_lines(result)


def test_the_budget_left_by_an_exhausted_space_keeps_the_last_incumbent(evaluated):
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


def test_nothing_is_called_worse_where_friedmans_test_finds_no_difference(evaluated):
    result = clearly("lahc", "rs", evaluated)
    result["significance"]["friedman"] = 0.2
    assert "Significantly worse" not in conclusion(result)
    assert "Not told apart from lahc by 12 seeds: rs" in conclusion(result)


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
    assert agreement(evaluated({"lahc": [[1.0]]}), evaluated({"sa": [[1.0]], "rs": [[1.0]]})) is None


def test_other_options_are_another_searcher_and_other_settings_are_told(evaluated):
    ours, theirs = clearly("lahc", "rs", evaluated), clearly("lahc", "rs", evaluated)
    theirs["setting"]["iterations"] = 7
    found = agreement(ours, theirs)
    assert found["settings"] == {"iterations": [1, 7]}
    assert "The settings differ (here and there): iterations 1 and 7." in summary_lines(ours | {"agreement": found})[-1]
    theirs["searchers"][0]["options"] = {"history": 50}
    assert agreement(ours, theirs) is None
