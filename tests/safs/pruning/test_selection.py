import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safs.pruning.selection import exponential_counts, keep_by_layer, keep_counts, keep_globally, keep_highest, narrow
from spaces.errors import SafsError

scores = st.lists(st.integers(0, 3).map(float), min_size=1, max_size=30)


@given(scores, st.data())
@settings(max_examples=80, deadline=None)
def test_the_highest_are_kept_exactly_and_of_equal_ones_the_last(values, data):
    kept = data.draw(st.integers(0, len(values)))
    mask = keep_highest({"w": torch.tensor(values)}, kept)["w"]
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    assert mask.nonzero().flatten().tolist() == sorted(order[len(values) - kept :])


@given(st.integers(1, 10_000), st.data(), st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_rounds_remove_ever_the_same_share_and_end_exactly(total, data, rounds):
    kept = data.draw(st.integers(1, total))
    counts = exponential_counts(total, kept, rounds)
    assert len(counts) == rounds
    assert counts[-1] == kept
    assert [total, *counts] == sorted([total, *counts], reverse=True)
    for k, count in enumerate(counts[:-1], start=1):
        assert count == max(kept, math.floor(total * (kept / total) ** (k / rounds)))


def test_narrowing_never_brings_a_weight_back():
    mask = {"a": torch.tensor([True, False, True]), "b": torch.tensor([[False, True]])}
    narrowed = narrow(mask, {"a": torch.tensor([0.0, 9.0, 0.0]), "b": torch.tensor([[9.0, 0.0]])}, 2)
    assert narrowed["a"].tolist() == [False, False, True]
    assert narrowed["b"].tolist() == [[False, True]]


def test_a_layer_of_one_weight_stays_layer_wise_and_may_go_globally():
    values = {"one": torch.tensor([[0.0]]), "many": torch.arange(1.0, 100.0)}
    assert keep_by_layer(values, 0.99)["one"].tolist() == [[True]]
    assert keep_globally(values, 0.99)["one"].tolist() == [[False]]


def test_counts_by_layer():
    values = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4.0)}
    mask = keep_counts(values, {"a": 2, "b": 0})
    assert mask["a"].tolist() == [[False] * 3, [False, True, True]]
    assert not mask["b"].any()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("keep", [keep_by_layer, keep_globally])
def test_scores_that_are_not_finite_are_refused_by_name(keep, bad):
    values = {"good": torch.ones(3), "bad.weight": torch.tensor([1.0, bad, bad])}
    with pytest.raises(SafsError, match=r"'bad.weight' cannot be ranked: 2 of their 3 scores are NaN or infinite"):
        keep(values, 0.5)
