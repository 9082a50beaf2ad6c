import pytest
import torch

from safs.data.splits import folds, holdout
from spaces.errors import SafsError

LABELS = torch.tensor([0] * 31 + [1] * 17 + [2] * 52)[torch.randperm(100, generator=torch.Generator().manual_seed(9))]


def counts(index):
    return torch.bincount(LABELS[index], minlength=3).tolist()


@pytest.mark.parametrize("k", [2, 3, 7, 100])
def test_folds_are_disjoint_covering_and_stratified(k):
    pairs = folds(LABELS, k, seed=1)
    assert len(pairs) == k
    for train, validation in pairs:
        assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(100))
        assert all(abs(got - whole / k) < 1 for got, whole in zip(counts(validation), counts(slice(None)), strict=True))
    assert torch.equal(torch.cat([validation for _, validation in pairs]).sort().values, torch.arange(100))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 1 / 3, 0.5, 0.99])
def test_a_holdout_is_disjoint_covering_and_stratified(fraction):
    rest, held = holdout(LABELS, fraction, seed=1)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(100))
    assert len(held) == round(100 * fraction)
    assert all(
        abs(got - fraction * whole) <= 1.01 for got, whole in zip(counts(held), counts(slice(None)), strict=True)
    )


def test_the_seed_alone_decides():
    torch.manual_seed(0)
    first, held = folds(LABELS, 3, seed=4), holdout(LABELS, 0.3, seed=4)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    again, held_again = folds(LABELS, 3, seed=4), holdout(LABELS, 0.3, seed=4)
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    assert torch.equal(held[1], held_again[1])
    assert not torch.equal(folds(LABELS, 3, seed=5)[0][1], first[0][1])
    assert not torch.equal(holdout(LABELS, 0.3, seed=5)[1], held[1])
    torch.manual_seed(0)
    folds(LABELS, 3, seed=4)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("k", [-1, 0, 1, 101])
def test_a_number_of_folds_out_of_range_is_refused(k):
    with pytest.raises(SafsError, match=f"between 2 and 100 .* but got {k}"):
        folds(LABELS, k, seed=0)


@pytest.mark.parametrize("fraction", [-0.5, 0.0, 0.001, 0.999, 1.0, float("nan")])
def test_a_holdout_that_leaves_a_part_empty_is_refused(fraction):
    with pytest.raises(SafsError, match="both parts non-empty"):
        holdout(LABELS, fraction, seed=0)
