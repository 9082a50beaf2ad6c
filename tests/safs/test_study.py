import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import safs.pipeline.assess
import safs.pipeline.stage1
import safs.study
from safs.checkpoints import save_checkpoint
from safs.config.schema import Config
from safs.data import digits
from safs.data.registry import DATASETS
from safs.data.registry import load as load_data
from safs.data.splits import folds, split_fingerprint
from safs.engines.inline import InlineEngine
from safs.engines.registry import ENGINES
from safs.export import load_best
from safs.journal import Journal
from safs.masks import apply_mask, prunable_weights, violations
from safs.models.registry import make_model
from safs.observer import Silent
from safs.outcome import Reason, Status, TrialOutcome
from safs.pipeline.data import load_test
from safs.pipeline.rows import row_specs
from safs.pipeline.stage1 import NoValidTrialError, Stage1
from safs.pipeline.stage2 import Stage2
from safs.protocol import Protocol
from safs.pruning import prune
from safs.storage import StorageError
from safs.study import Study
from safs.summary import ROWS
from safs.training import Score, evaluate
from safs.version import __version__
from searchers.base import Outcome
from searchers.lahc import LateAcceptanceHillClimbing
from searchers.registry import SEARCHERS
from spaces.errors import SafsError

PHASES = ("dense", "uniform", "stage1", "finalists", "safs", "stage2", "final")


def trials_of(records, phase=None):
    return [r for r in records if r["kind"] == "trial" and phase in (None, r["phase"])]


@pytest.fixture
def quick(few, tiny_values, tmp_path, monkeypatch):
    """Runs a study of 240 digits, without the report, and returns its summary and its journal's records."""
    monkeypatch.setattr(safs.study, "write_report", lambda folder: None)

    def run(folder="run", resume=False, observer=None, **changes):
        two = {"stage2": {"trials": 2}, "data": "few", "report": {"seeds": 1}}
        config = Config.from_mapping(tiny_values(**merge(two, changes)))
        path = tmp_path / folder
        summary = Study(config, path, observer).run(resume=resume)
        lines = (path / "journal.jsonl").read_bytes().splitlines()
        return summary, [json.loads(line) for line in lines]

    return run


def merge(base, changes):
    return {
        key: {**base.get(key, {}), **value} if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in {**base, **changes}.items()
    }


# What a study leaves


def test_the_summary_has_the_schema_and_every_row(tiny_study):
    summary = json.loads((tiny_study / "summary.json").read_text())
    assert summary["schema"] == 1
    assert [row["name"] for row in summary["rows"]] == list(ROWS)
    for row in summary["rows"]:
        assert set(row["test_accuracy"]) == {"mean", "std", "n"}
        assert 0 < row["test_accuracy"]["mean"] <= 100
        assert row["test_accuracy"]["n"] == (1 if row["name"] in ("dense", "pruned") else 2)
        assert row["failed"] == 0
        assert row["total"] == 44_190
        assert row["nonzero"] == (44_190 if row["name"] == "dense" else 4_419)
        assert row["sparsity"] == pytest.approx(0.0 if row["name"] == "dense" else 0.9, abs=1e-4)
        assert row["flops"] == summary["rows"][0]["flops"] > 0
    extra = {row["name"]: row["extra_parameters"] for row in summary["rows"]}
    assert extra["vanilla"] == extra["pruned"] == extra["dense"] == 0
    assert extra["stage2"] == 2 * 4, "α and β at four sites"
    assert extra["srelu"] == 4 * (6 + 16 + 120 + 84)
    assert summary["stage2"].keys() == {"safs", "stage2"}
    assert (summary["epochs"], summary["seeds"]) == (2, 2)
    assert list(summary["assignment"]) == ["relu1", "relu2", "relu3", "relu4"]


def test_the_journal_holds_every_trial_once(tiny_study, records):
    journal = records(tiny_study)
    assert [record["kind"] for record in journal if record["kind"] != "trial"] == ["inputs", "problem", "test"]
    assert journal[-1]["kind"] == "test"
    trials = trials_of(journal)
    assert len({record["id"] for record in trials}) == len(trials)
    counts = {phase: len(trials_of(journal, phase)) for phase in PHASES}
    searched = {"dense": 1, "uniform": 3, "stage1": 3, "finalists": 4, "safs": 6, "stage2": 6}
    assert {phase: counts[phase] for phase in searched} == searched
    assert 6 <= counts["final"] <= 10
    assert sorted(path.name for path in (tiny_study / "trials").iterdir()) == sorted(r["id"] for r in trials)
    order = [PHASES.index(record["phase"]) for record in trials]
    assert order == sorted(order)


def test_the_run_directory_is_laid_out_as_designed(tiny_study, records):
    names = {path.name for path in tiny_study.iterdir()}
    made = {"config.yaml", "journal.jsonl", "trials", "best", "summary.json", "report.html", "figures"}
    assert names == made | {"dense.safetensors"}
    best = {path.name for path in (tiny_study / "best").iterdir()}
    assert best == {"model.safetensors", "mask.safetensors", "activations.json"}
    for record in trials_of(records(tiny_study)):
        files = {path.name for path in (tiny_study / "trials" / record["id"]).iterdir()}
        assert files == {"log.txt", "model.safetensors"} if record["spec"]["keep"] else {"log.txt"}
        assert record["spec"]["keep"] == (record["phase"] in ("dense", "finalists", "final"))
    activations = json.loads((tiny_study / "best" / "activations.json").read_text())
    assert activations["schema"] == 1
    assert {"site", "original", "operator", "alpha", "beta", "constants"} == set(activations["sites"][0])
    assert Config.from_yaml(tiny_study / "config.yaml").to_yaml() == (tiny_study / "config.yaml").read_text()


def test_masks_hold_in_everything_that_is_stored(tiny_study, records):
    mask = load_file(tiny_study / "best" / "mask.safetensors")
    assert sum(int(kept.sum()) for kept in mask.values()) == 4_419
    stored = [tiny_study / "best" / "model.safetensors"]
    stored += [
        tiny_study / "trials" / record["id"] / "model.safetensors" for record in trials_of(records(tiny_study), "final")
    ]
    assert len(stored) > 8
    for path in stored:
        assert violations(load_file(path), mask) == [], path


def test_the_export_has_the_accuracy_that_was_reported(tiny_study, records):
    finals = {
        (str(r["spec"]["assignment"]), r["spec"]["study_seed"], r["spec"]["learn"]): r
        for r in trials_of(records(tiny_study), "final")
    }
    summary = json.loads((tiny_study / "summary.json").read_text())
    scores = records(tiny_study)[-1]["scores"]["safs"]
    assignment = str(list(summary["assignment"].values()))
    costs = [finals[assignment, seed, True]["outcome"]["cost"] for seed in (0, 1)]
    best = scores[costs.index(min(costs))]
    test = load_data("digits", "test", root=None, device="cpu")
    score = evaluate(load_best(tiny_study / "best"), test)
    assert score.accuracy == best["accuracy"]
    assert score.loss == pytest.approx(best["loss"], rel=1e-5)


def test_every_row_starts_from_the_same_weights_with_the_same_epochs_and_seeds(tiny_study, records):
    finals = trials_of(records(tiny_study), "final")
    assert {record["spec"]["protocol"]["epochs"] for record in finals} == {2}
    assert {record["spec"]["study_seed"] for record in finals} == {0, 1}
    assert {(record["spec"]["network"], record["spec"]["folds"]) for record in finals} == {("pruned", 0)}


def test_every_row_is_trained_with_what_was_found_for_it(tiny_study, records):
    summary = json.loads((tiny_study / "summary.json").read_text())
    config = Config.from_yaml(tiny_study / "config.yaml")
    original, found = ("relu",) * 4, tuple(summary["assignment"].values())
    tuned = {arm: config.train.tuned(summary["stage2"][arm]["hyperparameters"]) for arm in ("safs", "stage2")}
    expected = {
        (original, config.train, False),
        (("srelu",) * 4, config.train, False),
        ((summary["best_single"],) * 4, config.train, False),
        (found, config.train, False),
        (original, tuned["stage2"], True),
        (found, tuned["safs"], True),
    }
    kept = [r for r in trials_of(records(tiny_study)) if r["phase"] in ("finalists", "final")]
    trained = {
        (tuple(r["spec"]["assignment"]), Protocol(**r["spec"]["protocol"]), r["spec"]["learn"], r["spec"]["study_seed"])
        for r in kept
    }
    assert {(*row, seed) for row in expected for seed in (0, 1)} <= trained
    for arm, assignment in (("safs", found), ("stage2", original)):
        assert {tuple(r["spec"]["assignment"]) for r in trials_of(records(tiny_study), arm)} == {assignment}
    scores = {name: [s["accuracy"] for s in row] for name, row in records(tiny_study)[-1]["scores"].items()}
    test = load_data("digits", "test", root=None, device="cpu")
    network = make_model("lenet5", seed=0)
    network.load_state_dict(load_file(tiny_study / "dense.safetensors"))
    assert scores["dense"] == [evaluate(network, test).accuracy]
    assert sum(int((weight != 0).sum()) for weight in prunable_weights(network).values()) > 40_000


def test_each_row_takes_the_hyperparameters_of_its_own_arm(tiny_values, make_problem):
    config, problem = Config.from_mapping(tiny_values()), make_problem()
    stage1 = Stage1(("srs",) * 4, ("srs", "tanh", "srs", "relu"), 0.5)
    tuned = {"safs": Stage2({"optimizer": "sgd", "lr": 0.03}, 0.1), "stage2": Stage2({"lr": 0.07}, 0.2)}
    rows = {name: specs[0] for name, specs in row_specs(config, problem, stage1, tuned).items()}
    assert rows["safs"].protocol == config.train.tuned(tuned["safs"].hyperparameters)
    assert rows["stage2"].protocol == config.train.tuned(tuned["stage2"].hyperparameters)
    assert {name: spec.assignment for name, spec in rows.items()} == {
        "vanilla": ("relu",) * 4,
        "srelu": ("srelu",) * 4,
        "best_single": stage1.best_single,
        "stage1": stage1.assignment,
        "stage2": ("relu",) * 4,
        "safs": stage1.assignment,
    }
    assert {name for name, spec in rows.items() if spec.learn} == {"stage2", "safs"}


def test_the_best_of_the_finalists_is_chosen_and_the_best_single_operator_is_one_of_them(tiny_study, records):
    summary = json.loads((tiny_study / "summary.json").read_text())
    finalists = trials_of(records(tiny_study), "finalists")
    costs = {tuple(r["spec"]["assignment"]): r["outcome"]["cost"] for r in finalists}
    assert min(costs, key=costs.get) == tuple(summary["assignment"].values())
    assert (summary["best_single"],) * 4 in costs
    searched = [r for r in records(tiny_study) if r.get("phase") in ("uniform", "stage1")]
    ranked = sorted((r["outcome"]["cost"], tuple(r["spec"]["assignment"])) for r in searched)
    assert {assignment for _, assignment in ranked[:3]} <= set(costs)


def test_a_single_finalist_is_the_searchers_best(quick):
    summary, records = quick(stage1={"finalists": 1})
    assert trials_of(records, "finalists") == []
    searched = trials_of(records, "uniform") + trials_of(records, "stage1")
    best = min((r for r in searched), key=lambda r: r["outcome"]["cost"])
    assert best["spec"]["assignment"] == list(summary["assignment"].values())


# The test data


def test_the_test_data_are_loaded_once_after_all_training_and_never_again(quick, few, tmp_path, monkeypatch):
    """Invariant 2. What was trained before is counted when the test split is asked for."""
    trained = []

    def spy(config, train):
        trained.append(len((tmp_path / "run" / "journal.jsonl").read_bytes().splitlines()))
        return load_test(config, train)

    monkeypatch.setattr(safs.pipeline.assess, "load_test", spy)
    summary, records = quick()
    assert few == ["train", "test"]
    assert trained == [len(records) - 1], "only the record of the test itself comes after"
    again, after = quick(resume=True)
    assert few == ["train", "test", "train"]
    assert len(trained) == 1
    assert (again, after) == (summary, records)


# Stage 1


@pytest.mark.parametrize("start", ["uniform", "random"])
@pytest.mark.parametrize("iterations", [1, 5])
def test_the_budget_of_stage_1_is_exact(start, iterations, quick):
    _, records = quick(stage1={"iterations": iterations, "start": start})
    assert len(trials_of(records, "uniform")) == 3
    assert len(trials_of(records, "stage1")) == iterations
    assignments = [tuple(r["spec"]["assignment"]) for r in records if r.get("phase") in ("uniform", "stage1")]
    assert len(set(assignments)) == 3 + iterations


def test_a_small_space_is_searched_to_its_end(quick):
    _, records = quick(stage1={"iterations": 50, "operators": ["relu", "srs"]})
    assert len(trials_of(records, "uniform")) + len(trials_of(records, "stage1")) == 2**4


@pytest.fixture
def spy_searcher(monkeypatch):
    """Records what the searcher is given."""
    seen = {"start": None, "told": []}

    class Spy(LateAcceptanceHillClimbing):
        def __init__(self, space, seed, *, start=(), history=3):
            if len(space.sites) == 4:
                seen["start"], seen["seed"] = list(start), seed
            super().__init__(space, seed, start=start, history=history)

        def tell(self, id, outcome):
            seen["told"].append((self._suggestions[id], outcome))
            super().tell(id, outcome)

    monkeypatch.setitem(SEARCHERS, "spy", Spy)
    return seen


@pytest.mark.parametrize("start", ["uniform", "random"])
def test_the_search_starts_where_the_config_says(start, quick, spy_searcher):
    summary, records = quick(seed=4, stage1={"searcher": "spy", "start": start, "iterations": 2})
    uniform = [(name,) * 4 for name in ("relu", "srs", "tanh")]
    assert spy_searcher["seed"] == 4
    first = trials_of(records, "stage1")[0]["spec"]["assignment"]
    if start == "random":
        assert [list(assignment) for assignment in spy_searcher["start"]] == [first]
        assert len(set(first)) > 1, "no single operator"
    else:
        assert spy_searcher["start"] == uniform
        assert sum(gene != summary["best_single"] for gene in first) == 1, "a mutation of the best single operator"
        costs = {record["spec"]["assignment"][0]: record["outcome"]["cost"] for record in trials_of(records, "uniform")}
        assert {assignment[0]: outcome.cost for assignment, outcome in spy_searcher["told"][:3]} == costs
        assert min(costs, key=costs.get) == summary["best_single"]


def test_a_searcher_is_told_of_failures_and_the_study_goes_on(quick, spy_searcher):
    """At this learning rate symexp ends in NaN, and tanh does not."""
    diverging = {"optimizer": "sgd", "lr": 10.0, "schedule": "constant", "batch_size": 32}
    operators = {"searcher": "spy", "operators": ["symexp", "tanh"], "iterations": 4}
    summary, records = quick(train=diverging, stage1=operators)
    told = dict(spy_searcher["told"])
    assert told[("symexp",) * 4] == Outcome(None)
    assert told[("tanh",) * 4].cost is not None
    (failed,) = (r for r in trials_of(records, "uniform") if r["spec"]["assignment"][0] == "symexp")
    assert failed["outcome"]["status"] == "FAILED"
    assert failed["outcome"]["reason"] == "NAN"
    assert failed["outcome"]["cost"] is None
    assert "NonFiniteLossError" in failed["outcome"]["traceback"]
    assert summary["best_single"] == "tanh"


class OnlyMixed(InlineEngine):
    """An engine on which every assignment of one operator everywhere fails in stage 1."""

    def poll(self):
        finished = super().poll()
        if finished is None or len(set(finished.spec.assignment)) > 1 or finished.spec.keep or finished.spec.learn:
            return finished
        failed = TrialOutcome(Status.FAILED, None, Reason.NAN, "made to fail", {}, 0.0)
        return replace(finished, outcome=failed)


def test_a_mixed_assignment_is_found_where_no_single_operator_trains(tiny_values, few, tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "only-mixed", f"{__name__}:OnlyMixed")
    values = tiny_values(
        resources={"engine": "only-mixed"},
        stage2={"trials": 2},
        data="few",
        report={"seeds": 1},
        stage1={"iterations": 4},
    )
    summary = Study(Config.from_mapping(values), tmp_path / "run").run()
    assert summary["best_single"] is None
    assert len(set(summary["assignment"].values())) > 1
    assert "best_single" not in {row["name"] for row in summary["rows"]}
    assert "No single operator trained at every site" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("model.double()", r"'1.weight' is float64, but SAFS trains in float32; call .float\(\)"),
        ("model.half()", r"'1.weight' is float16"),
        ("nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.ReLU())", "'1.weight' has no shape yet"),
        ("model.requires_grad_(False)", "has no weight that is trained"),
    ],
)
def test_weights_that_cannot_be_trained_are_refused_at_once(change, problem, quick, tmp_path, monkeypatch):
    network = "nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.ReLU())"
    (tmp_path / "odd_weights.py").write_text(
        f"from torch import nn\ndef make():\n    model = {network}\n    return {change}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_weights", raising=False)
    with pytest.raises(SafsError, match=problem):
        quick(model={"name": "odd_weights:make"})
    assert not (tmp_path / "run").exists()


def test_a_dense_training_that_failed_is_explained_and_tried_again(quick, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("safs.trial.train", lambda *_, **__: 1 / 0)
        with pytest.raises(SafsError, match=r"ERROR: ZeroDivisionError: division by zero.*log\.txt") as caught:
            quick()
    assert Path(re.search(r"see (\S+log\.txt)", str(caught.value)).group(1)).exists()
    summary, records = quick(resume=True)
    assert len(summary["rows"]) == len(ROWS)
    assert [r["outcome"]["status"] for r in trials_of(records, "dense")] == ["FAILED", "SUCCEEDED"]


def test_what_was_read_is_recorded(tiny_study, records):
    inputs, test = records(tiny_study)[0], records(tiny_study)[-1]
    train, held_out = (load_data("digits", split, root=None, device="cpu") for split in ("train", "test"))
    assert (inputs["data"], test["data"]) == (train.fingerprint(), held_out.fingerprint())
    assert (
        inputs["folds"] == split_fingerprint(folds(train.labels, 2, 0)) != split_fingerprint(folds(train.labels, 2, 1))
    )
    assert inputs["versions"]["safs"] == __version__


@pytest.mark.parametrize(
    "scores", [None, 3, {"safs": [{"seed": 0}]}, {"safs": [{"seed": 0, "accuracy": "x", "loss": 1}]}]
)
def test_a_damaged_record_of_the_test_is_refused(scores, tiny_study, tiny_values, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_study, folder)
    *lines, last = (folder / "journal.jsonl").read_bytes().splitlines()
    lines.append(json.dumps(json.loads(last) | {"scores": scores}).encode())
    (folder / "journal.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(SafsError, match="record of the test is damaged"):
        Study(Config.from_mapping(tiny_values()), folder).run(resume=True)


NEVER = {"optimizer": "sgd", "lr": 1e6, "schedule": "constant", "batch_size": 32}


def test_a_budget_spent_without_a_valid_trial_is_an_error_of_its_own(quick):
    with pytest.raises(NoValidTrialError, match=r"without a valid trial.*`train.lr`") as caught:
        quick(train=NEVER, stage1={"operators": ["symexp"]})
    assert caught.value.exit_code == 3
    with pytest.raises(NoValidTrialError):
        quick(train=NEVER, stage1={"operators": ["symexp"]}, resume=True)


def test_a_row_whose_seeds_all_fail_is_counted_and_has_no_mean(quick):
    """relu at lr 1000 ends in NaN and tanh does not: vanilla fails, best_single does not."""
    summary, _ = quick(train={**NEVER, "lr": 1000.0}, stage1={"operators": ["tanh", "sigmoid"]})
    rows = {row["name"]: row for row in summary["rows"]}
    assert rows["vanilla"]["test_accuracy"] == {"mean": None, "std": 0.0, "n": 0}
    assert rows["vanilla"]["failed"] == 1
    assert rows["best_single"]["failed"] == 0
    assert rows["best_single"]["test_accuracy"]["n"] == 1


def test_validation_loss_as_fitness_holds_a_fifth_out(quick):
    summary, records = quick(stage1={"fitness": "validation_loss"})
    for record in trials_of(records, "stage1") + trials_of(records, "uniform"):
        assert (record["spec"]["cost"], record["spec"]["folds"], record["spec"]["fold"]) == ("validation_loss", 5, 0)
        assert record["outcome"]["cost"] == record["outcome"]["metrics"]["validation_loss"]
    costs = [r["outcome"]["cost"] for r in trials_of(records, "stage1") + trials_of(records, "uniform")]
    assert summary["stage1_cost"] == min(costs)


# Stage 2


def test_stage_2_scores_by_the_mean_over_all_folds(quick):
    summary, records = quick(stage2={"trials": 2, "folds": 3})
    for arm in ("safs", "stage2"):
        trials = trials_of(records, arm)
        assert len(trials) == 2 * 3
        means = []
        for first in (0, 3):
            folds = trials[first : first + 3]
            assert [record["spec"]["fold"] for record in folds] == [0, 1, 2]
            assert len({json.dumps(record["spec"]["protocol"]) for record in folds}) == 1
            assert all(record["spec"]["learn"] and record["spec"]["folds"] == 3 for record in folds)
            means.append(sum(record["outcome"]["cost"] for record in folds) / 3)
        assert summary["stage2"][arm]["validation_accuracy"] == pytest.approx(100 * (1 - min(means)))


def test_scales_per_channel(quick, tmp_path):
    summary, _ = quick(stage2={"scales": "channel"})
    extra = {row["name"]: row["extra_parameters"] for row in summary["rows"]}
    assert extra["stage2"] == 2 * (6 + 16 + 120 + 84)
    sites = json.loads((tmp_path / "run" / "best" / "activations.json").read_text())["sites"]
    assert [len(site["alpha"]) for site in sites] == [6, 16, 120, 84]
    assert evaluate(load_best(tmp_path / "run" / "best"), DATASETS["few"]("test", None)).accuracy > 0


def test_a_failed_fold_is_no_score(quick, monkeypatch):
    """SMAC is told of a failure, goes on, and the incumbent is another configuration."""
    told = []
    tell = safs.hpo.SmacSearch.tell
    monkeypatch.setattr(safs.hpo.SmacSearch, "tell", lambda self, *of: (told.append(of[-1]), tell(self, *of)))
    run = safs.engines.inline.run_trial
    failing = []

    def fail_once(spec, problem, callbacks=()):
        if spec.learn and spec.fold == 1 and not failing:
            failing.append(spec)
            raise_in = [*callbacks, Explodes()]
            return run(spec, problem, raise_in)
        return run(spec, problem, callbacks)

    monkeypatch.setattr(safs.engines.inline, "run_trial", fail_once)
    summary, records = quick(stage2={"trials": 3})
    assert told[0] is None
    assert all(cost is not None for cost in told[1:])
    first = trials_of(records, "safs")[0]["spec"]["protocol"]
    assert summary["stage2"]["safs"]["hyperparameters"]["lr"] != first["lr"]


class Explodes(safs.training.Callback):
    def on_gradients(self, weights):
        raise RuntimeError("this fold fails")


# Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    """A dense and a pruned checkpoint of LeNet-5, in both formats."""
    model = make_model("lenet5", seed=3)
    save_checkpoint(tmp_path / "dense.pt", model, {})
    mask = prune(model, 0.9, scope="global")
    apply_mask(model, mask)
    save_checkpoint(tmp_path / "pruned.pt", model, mask)
    save_checkpoint(tmp_path / "pruned.safetensors", model, mask)
    return tmp_path


def from_checkpoint(path, **changes):
    return {"model": {"pretrain": None, "checkpoint": str(path)}, **changes}


@pytest.mark.parametrize("name", ["pruned.pt", "pruned.safetensors"])
def test_a_pruned_checkpoint_keeps_its_mask_and_has_no_dense_row(name, checkpoints, quick):
    summary, records = quick(**from_checkpoint(checkpoints / name, prune=None))
    assert [row["name"] for row in summary["rows"]] == [name for name in ROWS if name != "dense"]
    assert {row["nonzero"] for row in summary["rows"]} == {4_419}
    assert trials_of(records, "dense") == []
    stored = load_file(checkpoints / "run" / "best" / "mask.safetensors")
    expected = torch.load(checkpoints / "pruned.pt")["mask"]
    assert all(torch.equal(kept, expected[name]) for name, kept in stored.items())


def test_a_dense_checkpoint_is_pruned(checkpoints, quick):
    summary, records = quick(**from_checkpoint(checkpoints / "dense.pt"))
    assert [row["name"] for row in summary["rows"]] == list(ROWS)
    assert trials_of(records, "dense") == []
    assert {row["name"]: row["nonzero"] for row in summary["rows"]}["safs"] == 4_419


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (from_checkpoint("pruned.pt"), r"pruned already; set `prune: null`"),
        (from_checkpoint("dense.pt", prune=None), r"is dense.*set `prune.ratio`"),
        (from_checkpoint("absent.pt"), "no checkpoint at .*absent.pt"),
        (from_checkpoint("empty.pt"), "is empty"),
        (from_checkpoint("other.pt"), "of another network"),
        ({"model": {"name": "lenet6"}}, "Unknown model 'lenet6'. Did you mean 'lenet5'"),
        ({"model": {"name": "resnet20-cifar"}}, "could not|must|expected|cannot"),
        ({"model": {"kwargs": {"num_classes": 7}}}, "one logit for each of the 10 classes"),
        ({"model": {"name": "torch.nn:Identity"}}, "no activation site"),
        ({"model": {"name": "torch.nn:ReLU"}}, "."),
        ({"stage2": {"folds": 1000}}, "number of folds must lie between 2 and 240"),
        ({"data": {"name": "mnist", "root": "/absent"}}, "no data folder /absent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(changes, message, checkpoints, quick, monkeypatch):
    monkeypatch.chdir(checkpoints)
    Path("empty.pt").touch()
    save_checkpoint(Path("other.pt"), torch.nn.Linear(2, 2), {})
    with pytest.raises(SafsError, match=message):
        quick(**changes)
    assert not Path("run").exists()


def test_another_checkpoint_under_the_same_name_is_refused_on_resume(checkpoints, quick, snapshot):
    quick(**from_checkpoint(checkpoints / "dense.pt"))
    save_checkpoint(checkpoints / "dense.pt", make_model("lenet5", seed=4), {})
    before = snapshot(checkpoints / "run")
    with pytest.raises(SafsError, match=r"begun with checkpoint .* but now finds"):
        quick(**from_checkpoint(checkpoints / "dense.pt"), resume=True)
    assert snapshot(checkpoints / "run") == before


def test_other_data_are_refused_on_resume(quick, monkeypatch, tmp_path, snapshot):
    quick()
    few = DATASETS["few"]
    monkeypatch.setitem(DATASETS, "few", lambda split, root: digits.load(split, root))
    before = snapshot(tmp_path / "run")
    with pytest.raises(SafsError, match=r"begun with data .* but now finds"):
        quick(resume=True)
    assert snapshot(tmp_path / "run") == before
    monkeypatch.setitem(DATASETS, "few", few)
    quick(resume=True)


# The run directory


def test_a_run_directory_is_made_new_continued_or_refused(quick, tmp_path, snapshot):
    (tmp_path / "run").mkdir()
    summary, _ = quick()
    before = snapshot(tmp_path / "run")
    with pytest.raises(SafsError, match=r"run is not empty; continue it with --resume"):
        quick()
    with pytest.raises(SafsError, match=r"(?s)of another config.*- +iterations: 3\n\+ +iterations: 4"):
        quick(stage1={"iterations": 4}, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(SafsError, match="must be a folder, but is a file"):
        quick("file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(SafsError, match=r"not empty|no run directory"):
            quick("other", resume=resume)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]
    assert snapshot(tmp_path / "run") == before
    assert quick("new", resume=True)[0] == summary, "resuming where nothing is begins"


def test_a_study_that_another_one_is_running_is_refused(quick, tmp_path):
    quick()
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    with Journal(tmp_path / "run" / "journal.jsonl"), pytest.raises(SafsError, match="Another process is running"):
        quick(resume=True)
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before
    quick(resume=True)


# Failing disks


class At(Silent):
    """Calls something once, when a phase has had so many outcomes."""

    def __init__(self, phase, count, action):
        self.phase_, self.count, self.action = phase, count, action

    def trial(self, phase, spec, outcome, cached):
        self.count -= phase == self.phase_
        if phase == self.phase_ and self.count == 0:
            self.action()


@pytest.mark.parametrize(("phase", "count"), [("dense", 1), ("stage1", 4), ("stage2", 3), ("final", 1), ("final", 5)])
def test_a_disk_that_fills_up_stops_a_study_that_can_be_resumed(phase, count, quick, tiny_values, small_disk, fill):
    """The log of the next trial, its network, or the record of the test: whatever is written next."""
    reference, _ = quick("reference")
    disk = small_disk(4096)
    observer = At(phase, count, lambda: fill(disk))
    with pytest.raises(StorageError, match=r"The disk is full at .*; free some space, and run the command again"):
        quick(disk / "run", observer=observer)
    finished = (disk / "run" / "journal.jsonl").read_bytes()
    assert finished.endswith(b"\n")
    assert b'"ERROR"' not in finished, "a full disk is no failure of a suggestion"
    (disk / ".filler").unlink()
    summary, records = quick(disk / "run", resume=True)
    assert summary == reference
    assert (disk / "run" / "journal.jsonl").read_bytes().startswith(finished)
    ids = [record["id"] for record in trials_of(records)]
    assert len(set(ids)) == len(ids)


def test_a_score_that_is_not_finite_is_a_failed_seed_and_no_accuracy(quick, monkeypatch):
    """A network with a finite training loss may overflow on a test image: the argmax of NaN is no answer."""
    monkeypatch.setattr(safs.pipeline.assess, "evaluate", lambda *_: Score(loss=float("inf"), accuracy=0.25))
    summary, records = quick()
    row = summary["rows"][-1]
    assert row["test_accuracy"] == row["test_loss"] == {"mean": None, "std": 0.0, "n": 0}
    assert row["failed"] == 1
    assert records[-1]["scores"]["safs"] == []


def test_a_study_whose_results_were_lost_writes_them_anew(quick, tmp_path):
    summary, _ = quick()
    text = (tmp_path / "run" / "summary.json").read_bytes()
    shutil.rmtree(tmp_path / "run" / "best")
    (tmp_path / "run" / "summary.json").unlink()
    assert quick(resume=True)[0] == summary
    assert (tmp_path / "run" / "summary.json").read_bytes() == text
    load_best(tmp_path / "run" / "best")
