import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from safs.outcome import Reason, Status, TrialOutcome
from safs.protocol import Protocol
from safs.spec import TrialSpec
from spaces.errors import SafsError, UnknownNameError

SPEC = TrialSpec(network="pruned", assignment=("relu", "srs"), protocol=Protocol(epochs=3), study_seed=7)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3"])
def test_counts_are_whole_and_at_least_1(name, value):
    with pytest.raises(SafsError, match=f"{name} must be at least 1.*{value}"):
        Protocol(**{"epochs": 1, name: value})


@pytest.mark.parametrize("name", ["lr", "scale_lr"])
@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf])
def test_rates_are_positive_and_finite(name, value):
    with pytest.raises(SafsError, match=f"{name} must be above 0"):
        Protocol(epochs=1, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("momentum", 1.0), ("momentum", -0.1), ("weight_decay", -1e-9), ("weight_decay", math.nan)]
)
def test_momentum_and_weight_decay_stay_in_range(name, value):
    with pytest.raises(SafsError, match=f"{name} must lie in"):
        Protocol(epochs=1, optimizer="sgd", **{name: value})


@pytest.mark.parametrize(("optimizer", "name"), [("adam", "momentum"), ("fromage", "weight_decay")])
def test_an_optimizer_gets_nothing_that_it_would_ignore(optimizer, name):
    with pytest.raises(SafsError, match=f"{optimizer} has no {name}"):
        Protocol(epochs=1, optimizer=optimizer, **{name: 0.5})


@pytest.mark.parametrize("value", [0, -1, 1.5, "3"])
def test_a_restart_period_is_whole_and_at_least_1(value):
    with pytest.raises(SafsError, match=f"restart_period must be at least 1.*{value}"):
        Protocol(epochs=1, schedule="cosine_restarts", restart_period=value)


def test_only_the_schedule_with_restarts_has_a_restart_period():
    with pytest.raises(SafsError, match="cosine has no restart_period; leave it out, or use cosine_restarts"):
        Protocol(epochs=1, schedule="cosine", restart_period=12)


def test_a_protocol_without_a_restart_period_is_written_as_before_there_was_one():
    protocol = Protocol(epochs=3, schedule="cosine_restarts")
    assert "restart_period" not in protocol.to_json()
    assert Protocol(**protocol.to_json()) == protocol
    restarting = replace(protocol, restart_period=12)
    assert Protocol(**restarting.to_json()) == restarting


@pytest.mark.parametrize(("name", "near", "meant"), [("optimizer", "adm", "adam"), ("schedule", "cosin", "cosine")])
def test_unknown_names_suggest_the_nearest(name, near, meant):
    with pytest.raises(UnknownNameError, match=f"{name} '{near}'. Did you mean '{meant}'"):
        Protocol(epochs=1, **{name: near})


def test_tuned_keeps_epochs_and_batch_size_and_nothing_else():
    restarts = {"schedule": "cosine_restarts", "restart_period": 2}
    protocol = Protocol(epochs=5, batch_size=32, optimizer="sgd", lr=0.1, momentum=0.9, **restarts)
    tuned = protocol.tuned({"lr": 0.2, "optimizer": "adam", "schedule": "linear", "weight_decay": 0.01})
    assert tuned == Protocol(epochs=5, batch_size=32, lr=0.2, schedule="linear", weight_decay=0.01)


def test_the_id_and_the_seed_of_a_spec_are_frozen():
    """Run directories are named by ids: another id for the same spec would make every stored study start anew."""
    assert SPEC.id == "491639134eaa8ae9"
    assert SPEC.seed == 710504878318794206


def test_equal_specs_have_equal_ids():
    whole = replace(SPEC, protocol=Protocol(epochs=3, lr=1, scale_lr=1, momentum=0))
    broken = replace(SPEC, protocol=Protocol(epochs=3, lr=1.0))
    assert whole == broken
    assert whole.id == broken.id
    assert whole.seed == broken.seed


def test_every_field_of_a_spec_is_part_of_its_id():
    others = {
        "network": "dense",
        "assignment": ("srs", "relu"),
        "protocol": Protocol(epochs=4),
        "study_seed": 8,
        "cost": "validation_error",
        "learn": True,
        "per_channel": True,
        "folds": 3,
        "fold": 1,
        "keep": True,
        "span": (1, 2),
    }
    base = replace(SPEC, folds=2)
    assert others.keys() == {field.name for field in fields(TrialSpec)}
    ids = {replace(base, **{name: value}).id for name, value in others.items()}
    assert len(ids | {base.id}) == len(others) + 1


def test_every_field_of_a_protocol_is_part_of_the_seed():
    base = Protocol(epochs=3, optimizer="sgd", schedule="cosine_restarts")
    changes = {"epochs": 4, "batch_size": 64, "optimizer": "adam", "lr": 0.1, "schedule": "step"}
    changes |= {"momentum": 0.5, "weight_decay": 0.1, "scale_lr": 2.0, "restart_period": 12}
    assert changes.keys() == {field.name for field in fields(Protocol)}
    seeds = {replace(SPEC, protocol=replace(base, **{name: value})).seed for name, value in changes.items()}
    assert len(seeds | {replace(SPEC, protocol=base).seed}) == len(changes) + 1


def test_the_seed_depends_on_study_seed_assignment_and_fold_but_not_on_what_is_kept():
    base = replace(SPEC, folds=3)
    changes = [{"study_seed": 8}, {"assignment": ("srs", "srs")}, {"fold": 2}, {"folds": 4}]
    assert len({base.seed} | {replace(base, **change).seed for change in changes}) == 5
    assert replace(base, keep=True).seed == base.seed


@pytest.mark.parametrize(("folds", "fold"), [(3, 3), (3, -1), (1, 0), (0, 1), (-2, 0)])
def test_a_fold_that_does_not_exist_is_refused(folds, fold):
    with pytest.raises(SafsError, match="fold must lie in"):
        replace(SPEC, folds=folds, fold=fold)


def test_a_validation_cost_needs_folds():
    with pytest.raises(SafsError, match="validation part"):
        replace(SPEC, cost="validation_loss")


def test_records_are_frozen():
    for record in (SPEC, SPEC.protocol, TrialOutcome(Status.CANCELED)):
        with pytest.raises(FrozenInstanceError):
            record.seconds = 1.0


@pytest.mark.parametrize(
    "outcome",
    [
        TrialOutcome(Status.SUCCEEDED, cost=0.5, metrics={"train_loss": 0.5, "history": [1.0, 0.5]}, seconds=1.5),
        TrialOutcome(Status.FAILED, reason=Reason.NAN, traceback="Traceback …"),
    ],
)
def test_an_outcome_comes_back_from_json(outcome):
    assert TrialOutcome.from_json(outcome.to_json()) == outcome


@pytest.mark.parametrize(
    "values",
    [
        {"status": Status.FAILED},
        {"status": Status.FAILED, "reason": Reason.NAN, "cost": 1.0},
        {"status": Status.SUCCEEDED},
        {"status": Status.SUCCEEDED, "cost": 1.0, "reason": Reason.OOM},
    ],
)
def test_only_a_success_has_a_cost_and_only_a_failure_a_reason(values):
    with pytest.raises(AssertionError, match="only a"):
        TrialOutcome(**values)
