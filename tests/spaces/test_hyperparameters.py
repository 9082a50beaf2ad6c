import math

import pytest
from ConfigSpace import Configuration
from ConfigSpace.exceptions import ActiveHyperparameterNotSetError, IllegalValueError, InactiveHyperparameterSetError

from spaces.hyperparameters import OPTIMIZERS, SCHEDULES, hyperparameter_space

SAMPLES = hyperparameter_space(0).sample_configuration(800)


def test_names_of_table_4():
    assert set(OPTIMIZERS) == {"sgd", "adam", "fromage", "tadam"}
    assert set(SCHEDULES) == {
        "constant", "step", "linear", "cosine", "halving", "reduce_on_plateau", "cosine_restarts",
    }  # fmt: skip


def test_every_choice_is_drawn():
    assert {c["optimizer"] for c in SAMPLES} == set(OPTIMIZERS)
    assert {c["schedule"] for c in SAMPLES} == set(SCHEDULES)


@pytest.mark.parametrize(
    ("optimizer", "momentum", "weight_decay"),
    [("sgd", True, True), ("adam", False, True), ("tadam", False, True), ("fromage", False, False)],
)
def test_conditions(optimizer, momentum, weight_decay):
    chosen = [c for c in SAMPLES if c["optimizer"] == optimizer]
    assert len(chosen) > 100
    assert {"momentum" in c for c in chosen} == {momentum}
    assert {"weight_decay" in c for c in chosen} == {weight_decay}
    assert all({"lr", "schedule", "scale_lr"} <= set(c) for c in chosen)


def test_ranges():
    space = hyperparameter_space(0)
    ranges = {
        name: (space[name].lower, space[name].upper, space[name].log) for name in space if "lower" in dir(space[name])
    }
    assert ranges == {
        "lr": (1e-4, 1e-1, True),
        "momentum": (0.0, 0.99, False),
        "weight_decay": (1e-6, 1e-2, True),
        "scale_lr": (0.1, 10.0, True),
    }
    rates = [math.log10(c["lr"]) for c in SAMPLES]
    assert all(-4 <= rate <= -1 for rate in rates)
    for low in (-4, -3, -2):  # log-uniform: a third of them in each decade
        assert sum(low <= rate < low + 1 for rate in rates) / len(rates) == pytest.approx(1 / 3, abs=0.06)


def test_seed():
    draws = [hyperparameter_space(seed).sample_configuration(5) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_bad_values():
    space = hyperparameter_space(0)
    good = {"lr": 1e-2, "optimizer": "fromage", "schedule": "step", "scale_lr": 1.0}
    assert dict(Configuration(space, values=good)) == good
    with pytest.raises(InactiveHyperparameterSetError):
        Configuration(space, values=good | {"momentum": 0.9})
    with pytest.raises(ActiveHyperparameterNotSetError):
        Configuration(space, values=good | {"optimizer": "sgd", "momentum": 0.9})
    for bad in ({"lr": 1.0}, {"optimizer": "lion"}, {"schedule": "warmup"}):
        with pytest.raises(IllegalValueError):
            Configuration(space, values=good | bad)
