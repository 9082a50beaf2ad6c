import math

import pytest
import torch
from torch.nn import Parameter

from safs.optim.fromage import Fromage
from safs.optim.registry import OPTIMIZERS, make_optimizer
from safs.optim.tadam import TAdam
from spaces import hyperparameters
from spaces.errors import SafsError

CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "fromage": Fromage, "tadam": TAdam}


def make(name, *, scales=1, **settings):
    weights = [Parameter(torch.ones(2)), Parameter(torch.ones(3))]
    return make_optimizer(name, weights, [Parameter(torch.ones(1)) for _ in range(scales)], **{"lr": 0.1, **settings})


def test_the_table_agrees_with_the_space():
    assert tuple(OPTIMIZERS) == hyperparameters.OPTIMIZERS
    for name, entry in OPTIMIZERS.items():
        assert ("momentum" in entry.hyperparameters) == (name in hyperparameters.WITH_MOMENTUM)
        assert ("weight_decay" in entry.hyperparameters) == (name in hyperparameters.WITH_WEIGHT_DECAY)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scales_are_a_group_of_their_own(name):
    optimizer = make(name, scale_lr=0.01)
    assert type(optimizer) is CLASSES[name]
    weights, scales = optimizer.param_groups
    assert (weights["name"], scales["name"]) == ("weights", "scales")
    assert (len(weights["params"]), len(scales["params"])) == (2, 1)
    assert (weights["lr"], scales["lr"]) == (0.1, 0.01)
    assert make(name).param_groups[1]["lr"] == 0.1
    assert len(make(name, scales=0).param_groups) == 1


@pytest.mark.parametrize("name", ["sgd", "adam", "tadam"])
def test_weight_decay_leaves_the_scales_alone(name):
    optimizer = make(name, weight_decay=1e-2)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-2, 0.0]
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.zeros_like(param)
    optimizer.step()
    weights, scales = optimizer.param_groups
    assert all((param < 1).all() for param in weights["params"])
    assert all((param == 1).all() for param in scales["params"])


def test_momentum_reaches_sgd():
    assert [group["momentum"] for group in make("sgd", momentum=0.9).param_groups] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("name", "setting"),
    [("adam", "momentum"), ("fromage", "momentum"), ("tadam", "momentum"), ("fromage", "weight_decay")],
)
def test_a_hyperparameter_that_would_be_ignored_is_refused(name, setting):
    with pytest.raises(SafsError, match=f"{name!r} has no {setting}"):
        make(name, **{setting: 0.1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("scale_lr", 0.0),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(SafsError, match=f"^{name} must"):
        make("sgd", **{name: value})


def test_bad_requests_are_refused():
    with pytest.raises(SafsError, match=r"Unknown optimizer 'adem'. Did you mean 'adam'"):
        make("adem")
    with pytest.raises(SafsError, match="no weights"):
        make_optimizer("sgd", [], [], lr=0.1)
