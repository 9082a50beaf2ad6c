import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from safs.models.lenet import LeNet5
from safs.pruning import prune
from safs.pruning.erk import kept_counts
from spaces.errors import UnknownNameError

shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=6,
).map(lambda found: {str(number): shape for number, shape in enumerate(found)})


@given(shapes, st.data())
@settings(max_examples=200, deadline=None)
def test_the_counts_add_up_and_follow_the_densities(layers, data):
    total = sum(map(math.prod, layers.values()))
    kept = data.draw(st.integers(0, total))
    counts = kept_counts(layers, kept)
    assert sum(counts.values()) == kept
    assert all(0 <= counts[name] <= math.prod(shape) for name, shape in layers.items())
    capped = [name for name, shape in layers.items() if counts[name] == math.prod(shape)]
    free = [name for name in layers if name not in capped]
    if free:  # a layer below its size has a count in proportion to the sum of its sizes, rounded either way
        scales = [(counts[name] / sum(layers[name]), 1 / sum(layers[name])) for name in free]
        scale_low = max(value - slack for value, slack in scales)
        scale_high = min(value + slack for value, slack in scales)
        assert scale_low <= scale_high + 1e-9
        assert all(scale_high * sum(layers[name]) >= math.prod(layers[name]) - 1 - 1e-6 for name in capped)


def test_a_layer_that_would_be_more_than_dense_is_dense_and_the_others_share_the_rest():
    layers = {"small": (2, 2), "a": (30, 40), "b": (60, 80)}
    counts = kept_counts(layers, 424)
    assert counts == {"small": 4, "a": 140, "b": 280}, "70 : 140 of the 420 that are left"


def test_densities_are_those_of_the_paper_with_the_kernel():
    """Two layers of the same number of weights: the one with the longer sum of sizes is denser by that ratio."""
    counts = kept_counts({"conv": (16, 16, 3, 3), "linear": (48, 48)}, 268)
    assert counts == {"conv": round(268 * 38 / (38 + 96)), "linear": round(268 * 96 / (38 + 96))}


@pytest.mark.parametrize("ratio", [0.5, 0.98, 0.999])
def test_within_a_layer_the_largest_stay_or_chance_decides(ratio):
    model = LeNet5()
    by_magnitude = prune(model, ratio, method="erk")
    for name, kept in by_magnitude.items():
        weight = model.get_parameter(name).detach().abs()
        if kept.any() and not kept.all():
            assert weight[kept].min() >= weight[~kept].max()
    drawn = [prune(model, ratio, method="erk", options={"criterion": "random"}, seed=seed) for seed in (1, 1, 2)]
    assert [int(kept.sum()) for kept in drawn[0].values()] == [int(kept.sum()) for kept in by_magnitude.values()]
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert any(not torch.equal(drawn[0][name], drawn[2][name]) for name in drawn[0])
    assert sum(int(kept.sum()) for kept in by_magnitude.values()) == 44_190 - math.floor(ratio * 44_190)


def test_an_unknown_criterion():
    with pytest.raises(UnknownNameError, match=r"Unknown criterion 'magnitud'. Did you mean 'magnitude'"):
        prune(nn.Linear(4, 4), 0.5, method="erk", options={"criterion": "magnitud"})
