import copy
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from safs.data import digits
from safs.masks import sparsity
from safs.models.lenet import LeNet5
from safs.pruning import METHODS, prune
from safs.pruning.registry import option_names, resolve_scope
from spaces.errors import SafsError, UnknownNameError


def lenet():
    torch.manual_seed(0)
    return LeNet5()


LENET = lenet()
SIZES = {"conv1.weight": 150, "conv2.weight": 2400, "fc1.weight": 30720, "fc2.weight": 10080, "fc3.weight": 840}
ONE_SHOT = ["magnitude", "random", "erk", "snip", "synflow"]
"""Methods that do not train."""


def kept(mask):
    return [int(tensor.sum()) for tensor in mask.values()]


@pytest.fixture(scope="module")
def given_all():
    """What every one-shot method can be given."""
    return {"data": digits.load("train", None), "input_shape": (1, 28, 28)}


# Exact numbers


def test_lenet5_layer_wise_at_99_percent():
    assert kept(prune(LENET, 0.99)) == [2, 24, 308, 101, 9]


ratios = st.integers(0, 9999).map(lambda k: (k / 10_000, Fraction(k, 10_000)))


@given(ratios, st.sampled_from(["magnitude", "random"]))
@settings(max_examples=60, deadline=None)
def test_layer_wise_counts_are_exact(ratio, method):
    number, exact = ratio
    expected = [size - math.floor(exact * size) for size in SIZES.values()]
    assert kept(prune(LENET, number, method=method, scope="layer")) == expected


@given(ratios, st.sampled_from([("magnitude", "global"), ("random", "global"), ("erk", None)]))
@settings(max_examples=60, deadline=None)
def test_global_counts_are_exact(ratio, how):
    number, exact = ratio
    mask = prune(LENET, number, method=how[0], scope=how[1])
    assert sum(kept(mask)) == 44_190 - math.floor(exact * 44_190)
    assert sparsity(mask) == pytest.approx(number, abs=1 / 44_190)


@pytest.mark.parametrize("method", ONE_SHOT)
@pytest.mark.parametrize("ratio", [0.29, 0.98, 0.99999])
def test_every_method_is_exact_leaves_the_network_alone_and_repeats_itself(method, ratio, given_all):
    model = lenet()
    random_state = torch.get_rng_state()
    mask = prune(model, ratio, method=method, **given_all)
    if resolve_scope(method, None) == "layer":
        assert kept(mask) == [size - math.floor(ratio * size) for size in SIZES.values()]
    else:
        assert sum(kept(mask)) == 44_190 - math.floor(ratio * 44_190)
    assert {name: tensor.shape for name, tensor in mask.items()} == {
        name: tensor.shape for name, tensor in model.named_parameters() if name in SIZES
    }
    assert all(tensor.dtype is torch.bool for tensor in mask.values())
    again = prune(model, ratio, method=method, **given_all)
    assert all(torch.equal(mask[name], again[name]) for name in mask)
    assert torch.equal(torch.get_rng_state(), random_state), "the global random state is nobody's"
    assert all(torch.equal(v, LENET.state_dict()[k]) for k, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("method", ONE_SHOT)
def test_ratio_0_keeps_everything(method, given_all):
    assert kept(prune(LENET, 0, method=method, **given_all)) == list(SIZES.values())


# Magnitude and random


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
def test_random_is_drawn_from_its_seed_and_looks_at_no_weight(scope):
    one = prune(LENET, 0.9, method="random", scope=scope, seed=1)
    other = copy.deepcopy(LENET)
    for parameter in other.parameters():
        parameter.data.zero_()
    same = prune(other, 0.9, method="random", scope=scope, seed=1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    different = prune(LENET, 0.9, method="random", scope=scope, seed=2)
    assert any(not torch.equal(one[name], different[name]) for name in one)
    share = int(one["fc1.weight"].sum()) / 30_720
    assert share == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model = lenet().to(dtype)
    for method, scope in (("magnitude", "layer"), ("magnitude", "global"), ("erk", None)):
        mask = prune(model, 0.9, method=method, scope=scope)
        for name, tensor in mask.items() if scope == "layer" else ():
            weight = model.get_parameter(name).detach().abs()
            assert weight[tensor].min() >= weight[~tensor].max()
        assert sparsity(mask) == pytest.approx(0.9, abs=1e-3)


def test_shared_weights_count_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    for method, needed in (("magnitude", {}), ("random", {}), ("erk", {}), ("synflow", {"input_shape": (4,)})):
        mask = prune(model, 0.5, method=method, **needed)
        assert list(mask) == ["0.weight"]
        assert kept(mask) == [8]


# What cannot be


@pytest.mark.parametrize("ratio", [1.0, 1.5, -0.1, math.nan, math.inf, -math.inf])
def test_ratio_outside(ratio):
    with pytest.raises(SafsError, match=rf"must lie in \[0, 1\), but got {ratio}"):
        prune(LENET, ratio)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r"Unknown pruning scope 'golbal'. Did you mean 'global'"):
        prune(LENET, 0.5, scope="golbal")
    with pytest.raises(UnknownNameError, match=r"Unknown pruning method 'snipp'. Did you mean 'snip'"):
        prune(LENET, 0.5, method="snipp")
    with pytest.raises(
        SafsError, match=r"'imp' has no option 'round'; known: rounds, rewind_epoch. Did you mean 'rounds'"
    ):
        prune(LENET, 0.5, method="imp", options={"round": 3})
    with pytest.raises(SafsError, match=r"'magnitude' has no option 'rounds'; known: none."):
        prune(LENET, 0.5, options={"rounds": 3})


@pytest.mark.parametrize("method", ["erk", "snip", "synflow", "imp"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_scope_where_the_method_has_none(method, scope, given_all):
    with pytest.raises(
        SafsError, match=rf"{method!r} decides itself .* leave the scope out \(only magnitude and random"
    ):
        prune(LENET, 0.5, method=method, scope=scope, **given_all)


@pytest.mark.parametrize(
    ("method", "lacking"),
    [("snip", "needs training data"), ("synflow", "needs the shape of one example"), ("imp", "needs a training")],
)
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_what_a_method_needs_and_was_not_given(method, lacking, ratio):
    with pytest.raises(SafsError, match=f"Pruning method {method!r} {lacking}"):
        prune(LENET, ratio, method=method)


@pytest.mark.parametrize("method", ONE_SHOT)
def test_nothing_to_prune(method, given_all):
    with pytest.raises(SafsError, match="Sequential has no linear or convolution layer"):
        prune(nn.Sequential(nn.ReLU()), 0.5, method=method, **given_all)


@pytest.mark.parametrize("method", ["magnitude", "erk", "synflow", "snip"])
def test_weights_that_are_no_numbers_are_named(method, given_all):
    model = lenet()
    model.fc2.weight.data[3, 4] = math.nan
    with pytest.raises(SafsError, match=r"cannot be ranked: .* NaN or infinite"):
        prune(model, 0.5, method=method, **given_all)


def test_options_are_the_fields_of_the_methods():
    assert {name: option_names(name) for name in METHODS} == {
        "magnitude": [],
        "random": [],
        "erk": ["criterion"],
        "snip": ["examples_per_class", "batch_size"],
        "synflow": ["rounds"],
        "imp": ["rounds", "rewind_epoch"],
    }
