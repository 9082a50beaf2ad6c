import numpy as np
import pytest

from searchers.gaussian_process import GaussianProcess, likeness, moved_likeness

SITES, OPERATORS = 6, 8


def codes(count, seed):
    return np.random.default_rng(seed).integers(OPERATORS, size=(count, SITES)).astype(np.int16)


def additive(points):
    """Costs of mean 0 and variance 1 that add up over the sites."""
    table = np.random.default_rng(9).normal(size=(SITES, OPERATORS))
    costs = table[np.arange(SITES), points].sum(1)
    return (costs - costs.mean()) / costs.std()


def test_likeness_by_hand():
    a, b = np.array([[0, 1, 1, 2]], dtype=np.int16), np.array([[0, 1, 2, 2], [3, 3, 3, 3]], dtype=np.int16)
    agree, cosine = likeness(a, b, 4)
    assert agree.tolist() == [[3, 0]]
    # (1, 2, 1, 0) and (1, 1, 2, 0) have product 5 and lengths of root 6
    assert cosine == pytest.approx(np.array([[5 / 6, 0.0]]))


def test_what_moves_lead_to_is_as_alike_as_if_it_were_compared_anew():
    points, parents = codes(20, 0), codes(3, 1)
    every = [(p, s, o) for p in range(3) for s in range(SITES) for o in range(OPERATORS) if o != parents[p, s]]
    moves = np.array(every)
    moved = parents[moves[:, 0]]
    moved[np.arange(len(moves)), moves[:, 1]] = moves[:, 2]
    for ours, anew in zip(
        moved_likeness(parents, moves, points, OPERATORS), likeness(moved, points, OPERATORS), strict=True
    ):
        assert ours == pytest.approx(anew)


def test_it_follows_the_costs_and_is_unsure_where_it_has_seen_nothing():
    points = codes(30, 2)
    process = GaussianProcess(points, additive(points), OPERATORS)
    mean, deviation = process.predict(points)
    assert np.corrcoef(mean, additive(points))[0, 1] > 0.95
    _, elsewhere = process.predict(codes(30, 3))
    assert elsewhere.mean() > 2 * deviation.mean()


def test_it_predicts_what_it_has_not_seen():
    points, others = codes(60, 2), codes(200, 3)
    mean, _ = GaussianProcess(points, additive(points), OPERATORS).predict(others)
    assert np.corrcoef(mean, additive(others))[0, 1] > 0.6


def test_believing_adds_no_surprise():
    points, pending = codes(12, 4), codes(3, 5)
    process = GaussianProcess(points, np.random.default_rng(0).normal(size=12), OPERATORS)
    before, wide = process.predict(pending)
    after, narrow = process.believing(pending).predict(pending)
    assert after == pytest.approx(before, abs=0.05)
    assert (narrow < wide).all()


def test_expected_improvement_is_that_of_many_draws():
    points, parents = codes(15, 6), codes(2, 7)
    process = GaussianProcess(points, additive(points), OPERATORS)
    moves = np.array([(0, 0, (parents[0, 0] + 1) % OPERATORS), (1, 3, (parents[1, 3] + 2) % OPERATORS)])
    moved = parents.copy()
    moved[[0, 1], [0, 3]] = moves[:, 2]
    mean, deviation = process.predict(moved)
    draws = mean + deviation * np.random.default_rng(0).normal(size=(200_000, 2))
    expected = np.maximum(-0.5 - draws, 0).mean(0)
    assert process.improvement(parents, moves, -0.5) == pytest.approx(expected, rel=0.05, abs=1e-3)
