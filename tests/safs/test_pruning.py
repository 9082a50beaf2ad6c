import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from safs.masks import sparsity
from safs.models.lenet import LeNet5
from safs.pruning import prune
from spaces.errors import SafsError, UnknownNameError


def lenet():
    torch.manual_seed(0)
    return LeNet5()


LENET = lenet()
SIZES = {"conv1.weight": 150, "conv2.weight": 2400, "fc1.weight": 30720, "fc2.weight": 10080, "fc3.weight": 840}


def kept(mask):
    return [int(tensor.sum()) for tensor in mask.values()]


def test_lenet5_layer_wise_at_99_percent():
    assert kept(prune(LENET, 0.99)) == [2, 24, 308, 101, 9]


ratios = st.integers(0, 9999).map(lambda k: (k / 10_000, Fraction(k, 10_000)))


@given(ratios)
@settings(max_examples=60, deadline=None)
def test_layer_wise_counts_are_exact(ratio):
    number, exact = ratio
    expected = [size - math.floor(exact * size) for size in SIZES.values()]
    assert kept(prune(LENET, number, scope="layer")) == expected


@given(ratios)
@settings(max_examples=60, deadline=None)
def test_global_counts_are_exact(ratio):
    number, exact = ratio
    mask = prune(LENET, number, scope="global")
    assert sum(kept(mask)) == 44_190 - math.floor(exact * 44_190)
    assert sparsity(mask) == pytest.approx(number, abs=1 / 44_190)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("ratio", [0.3, 0.99])
def test_the_largest_weights_are_kept(scope, ratio):
    mask = prune(LENET, ratio, scope=scope)
    weights = {name: LENET.get_parameter(name).detach().abs() for name in SIZES}
    groups = [[name] for name in SIZES] if scope == "layer" else [list(SIZES)]
    for names in groups:
        stay = torch.cat([weights[name][mask[name]] for name in names])
        go = torch.cat([weights[name][~mask[name]] for name in names])
        assert stay.min() >= go.max()
    assert all(mask[name].shape == weights[name].shape for name in SIZES)


def test_magnitude_is_absolute():
    layer = nn.Linear(4, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-3.0, 1.0, 2.0, -0.5]]))
    assert prune(layer, 0.5)["weight"].tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_ties_go_by_position_and_counts_stay_exact(scope):
    layer = nn.Linear(10, 10)
    nn.init.constant_(layer.weight, -0.5)
    mask = prune(layer, 0.29, scope=scope)["weight"].flatten()
    assert mask.tolist() == [False] * 29 + [True] * 71


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_ratio_0_keeps_everything(scope):
    assert sparsity(prune(LENET, 0.0, scope=scope)) == 0
    assert kept(prune(LENET, 0, scope=scope)) == list(SIZES.values())


def test_the_network_is_not_changed():
    model = lenet()
    prune(model, 0.9)
    assert all(torch.equal(v, LENET.state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("ratio", [1.0, 1.5, -0.1, math.nan, math.inf, -math.inf])
def test_ratio_outside(ratio):
    with pytest.raises(SafsError, match=rf"must lie in \[0, 1\), but got {ratio}"):
        prune(LENET, ratio)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r"Unknown pruning scope 'golbal'. Did you mean 'global'"):
        prune(LENET, 0.5, scope="golbal")
    with pytest.raises(UnknownNameError, match="Unknown pruning method 'snip'"):
        prune(LENET, 0.5, method="snip")


def test_nothing_to_prune():
    with pytest.raises(SafsError, match="Sequential has no linear or convolution layer"):
        prune(nn.Sequential(nn.ReLU()), 0.5)
