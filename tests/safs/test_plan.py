"""The planned trials against those that studies really run."""

from collections import Counter
from dataclasses import replace

import pytest

from safs.config.schema import Config
from safs.pipeline.plan import epochs, examples, mixtures, plan, steps
from safs.pipeline.prepare import untrained
from safs.protocol import Protocol
from safs.spec import TrialSpec
from safs.study import Study
from safs.training import Callback
from safs.trial import run_trial
from spaces.assignment import AssignmentSpace
from spaces.operators import PAPER_OPERATORS

COST = ("network", "cost", "learn", "per_channel", "folds", "fold", "keep")


def planned(values):
    config = Config.from_mapping(values)
    return {phase.name: phase.specs for phase in plan(config, untrained(config))}


def as_counted(spec):
    """Return what a planned trial and the real one it stands for have in common."""
    shared = {name: spec[name] for name in COST}
    span = tuple(spec.get("span", ()))
    return (*shared.items(), spec["protocol"]["epochs"], spec["protocol"]["batch_size"], span)


def trained_in(records):
    """Return for each phase of a journal what its trials have in common with planned ones."""
    trained = {}
    for record in records:
        if record["kind"] == "trial":
            trained.setdefault(record["phase"], Counter())[as_counted(record["spec"])] += 1
    return trained


def test_the_plan_is_what_a_study_trains(tiny_values, tiny_study, records):
    trained = trained_in(records(tiny_study))
    expected = {
        name: Counter(as_counted(spec.to_json()) for spec in specs) for name, specs in planned(tiny_values()).items()
    }
    assert list(expected) == list(trained)
    # Two rows may turn out to be one: stage 1 may find nothing better than the best single operator.
    assert trained["final"] <= expected["final"]
    assert {**trained, "final": None} == {**expected, "final": None}


@pytest.mark.parametrize("rewind_epoch", [0, 1])
def test_the_trainings_of_iterative_pruning_are_planned(rewind_epoch, tiny_values, records, tmp_path):
    options = {"rounds": 3, "rewind_epoch": rewind_epoch}
    prune = {"method": "imp", "scope": None, "options": options}
    values = tiny_values(prune=prune, model={"pretrain": {"epochs": 3}})
    Study(Config.from_mapping(values), tmp_path / "run").run()
    specs = planned(values)["prune"]
    assert Counter(as_counted(spec.to_json()) for spec in specs) == trained_in(records(tmp_path / "run"))["prune"]
    assert [epochs(spec) for spec in specs] == [1] * rewind_epoch + [3 - rewind_epoch] * 2


def test_a_checkpoint_needs_no_dense_training(tiny_values, tiny_study):
    values = tiny_values(model={"checkpoint": str(tiny_study / "dense.safetensors")})
    del values["model"]["pretrain"]
    assert "dense" not in planned(values)


def test_the_validation_loss_is_of_a_fifth_of_the_examples(tiny_values):
    phases = planned(tiny_values(stage1={"fitness": "validation_loss"}))
    assert {examples(spec, 1000) for spec in phases["stage1"]} == {800}
    assert {examples(spec, 1000) for spec in phases["uniform"]} == {800}


def test_stage_1_cannot_spend_more_than_its_space_holds(tiny_values):
    assert "stage1" not in planned(tiny_values(stage1={"operators": ["srs"], "iterations": 9}))
    assert len(planned(tiny_values(stage1={"operators": ["srs", "relu"], "iterations": 99}))["stage1"]) == 2**4 - 2


def test_without_finalists_every_final_row_is_trained_anew(tiny_values):
    phases = planned(tiny_values(stage1={"finalists": 1}))
    assert "finalists" not in phases
    assert len(phases["final"]) == 12


def test_the_optimizers_of_stage_2_come_in_turn(tiny_values):
    specs = planned(tiny_values(stage2={"trials": 5}))["safs"]
    names = [spec.protocol.optimizer for spec in specs if spec.fold == 0]
    assert names == ["sgd", "adam", "fromage", "tadam", "sgd"]


@pytest.mark.parametrize(("sites", "count"), [(1, 13), (4, 4), (13, 1), (17, 1)])
def test_mixtures_show_every_operator_about_equally_often(sites, count):
    mixed = mixtures(AssignmentSpace([str(site) for site in range(sites)], PAPER_OPERATORS))
    assert len(mixed) == count
    seen = Counter(name for assignment in mixed for name in assignment)
    assert seen.keys() == set(PAPER_OPERATORS)
    assert max(seen.values()) - min(seen.values()) <= 1


class Steps(Callback):
    """Counts the steps of a training."""

    count = 0

    def on_gradients(self, weights):
        self.count += 1


@pytest.mark.parametrize("batch_size", [7, 50, 160, 1000])
@pytest.mark.parametrize(("folds", "fold"), [(0, 0), (2, 1), (7, 1), (7, 6)])
def test_the_steps_of_a_trial_are_those_that_it_takes(batch_size, folds, fold, make_problem):
    """240 examples; 7 folds of them are not equal."""
    protocol = Protocol(epochs=2, batch_size=batch_size)
    spec = TrialSpec(network="pruned", assignment=("relu",) * 4, protocol=protocol, study_seed=0)
    spec = replace(spec, folds=folds, fold=fold)
    counter = Steps()
    run_trial(spec, make_problem(), [counter])
    assert counter.count == steps(spec, 240)
