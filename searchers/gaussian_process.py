"""A Gaussian process over assignments, and how much better than the best known it expects others to be."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int16]
"""Assignments as numbers of operators: [assignments, sites]."""
Moves: TypeAlias = NDArray[np.int64]
"""Changes of one gene: [moves, (number of the parent, site, new operator)]."""

_LENGTH = 0.3
"""The share of the sites over which a difference lets the correlation of the third kernel fall to 1/e."""
_WEIGHTS = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.0, 0.5))
"""Shares of the three kernels in the variance, to choose from."""
_NOISE = (1e-2, 1e-1)
"""The variance of a cost's noise, in units of that of the costs, to choose from."""
_BLOCK = 240
"""How many moves are looked at at a time: what is worked out of so many stays in a processor's cache."""


class GaussianProcess:
    """A Gaussian process, fitted to costs of mean 0 and variance 1.

    The covariance of two assignments is a mixture of three: the share m of the sites where they agree (an effect of
    every operator at every site), the cosine of how often they have each operator, whichever the sites are (an effect
    of every operator wherever it stands), and exp((m − 1)/0.3) (what single sites do not explain). The mixture and the
    noise are those of greatest likelihood among a few.

    Args:
        points: the assignments [n, sites].
        values: their costs [n].
        operators: how many operators there are.
        chosen: the weights of the kernels and the noise, if they are not to be fitted.
    """

    def __init__(
        self, points: Codes, values: Array, operators: int, chosen: tuple[tuple[float, ...], float] | None = None
    ) -> None:
        self._points, self._values, self._operators = points, values, operators
        alike = likeness(points, points, operators)
        grid = [chosen] if chosen else [(weights, noise) for weights in _WEIGHTS for noise in _NOISE]
        correlations = {weights: self._correlation(*alike, weights) for weights, _ in grid}
        fits = [self._fit(correlations[weights], noise) for weights, noise in grid]
        best = int(np.argmax([likelihood for likelihood, _ in fits]))
        self._chosen, self._whiten = grid[best], np.linalg.inv(fits[best][1]).T

    def _fit(self, correlation: Array, noise: float) -> tuple[float, Array]:
        """Return the log likelihood of the values, up to a constant, and the factor of their covariance."""
        covariance = correlation.copy()
        covariance.flat[:: len(correlation) + 1] += noise  # the diagonal
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, self._values)
        return float(-0.5 * whitened @ whitened - np.log(np.diag(factor)).sum()), np.asarray(factor)

    def _correlation(self, agree: Codes, cosine: Array, weights: tuple[float, ...]) -> Array:
        share = np.arange(self._points.shape[1] + 1) / self._points.shape[1]
        by_sites = weights[0] * share + weights[2] * np.exp((share - 1) / _LENGTH)
        correlation: Array = by_sites.take(agree)
        if weights[1]:
            correlation += weights[1] * cosine
        return correlation

    def _predict(self, agree: Codes, cosine: Array) -> tuple[Array, Array]:
        """Return means and standard deviations of costs, from how alike assignments are to the points."""
        whitened = self._correlation(agree, cosine, self._chosen[0]) @ self._whiten
        explained = np.einsum("ij,ij->i", whitened, whitened)
        return whitened @ (self._values @ self._whiten), np.sqrt(np.maximum(1.0 - explained, 1e-12))

    def predict(self, points: Codes) -> tuple[Array, Array]:
        """Return means and standard deviations of the costs of assignments."""
        return self._predict(*likeness(points, self._points, self._operators))

    def believing(self, points: Codes) -> GaussianProcess:
        """Return the process as if assignments had come to what it expects of them."""
        every = np.concatenate([self._points, points])
        values = np.concatenate([self._values, self.predict(points)[0]])
        return GaussianProcess(every, values, self._operators, self._chosen)

    def improvement(self, parents: Codes, moves: Moves, best: float) -> Array:
        """Return by how much what moves lead to is expected to be below a cost (Jones et al. 1998): [moves]."""
        parts = [
            self._predict(*moved_likeness(parents, moves[begin : begin + _BLOCK], self._points, self._operators))
            for begin in range(0, len(moves), _BLOCK)
        ]
        mean, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
        z = (best - mean) / deviation
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        below = 0.5 * (1 + np.array([*map(math.erf, (z / math.sqrt(2)).tolist())]))
        return np.asarray(deviation * (z * below + density))


def likeness(a: Codes, b: Codes, operators: int) -> tuple[Codes, Array]:
    """Return at how many sites any two assignments agree, and the cosine of their counts of operators: [a, b]."""
    agree = (a[:, None, :] == b).sum(2, dtype=np.int16)
    counts_a, counts_b = _counts(a, operators), _counts(b, operators)
    lengths = np.sqrt((counts_a**2).sum(1)[:, None] * (counts_b**2).sum(1))
    return agree, counts_a @ counts_b.T / lengths


def moved_likeness(parents: Codes, moves: Moves, points: Codes, operators: int) -> tuple[Codes, Array]:
    """Return `likeness` of what moves lead to and points, from that of their parents: [moves, points]."""
    parent, site, new = moves.T
    old = parents[parent, site]
    here = np.ascontiguousarray(points.T)[site]
    agree = (parents[:, None, :] == points).sum(2, dtype=np.int16)[parent]
    agree += here == new[:, None]
    agree -= here == old[:, None]
    counts, of_parents = np.ascontiguousarray(_counts(points, operators).T), _counts(parents, operators)
    whole = counts.astype(np.int32)  # half of what floats take, and as exact
    product = (of_parents @ counts).astype(np.int32)[parent]
    product += whole[new]
    product -= whole[old]
    squares = (of_parents**2).sum(1)[parent] + 2 * (of_parents[parent, new] - of_parents[parent, old]) + 2
    cosine = product / np.sqrt(squares)[:, None]
    cosine /= np.sqrt((counts**2).sum(0))
    return agree, cosine


def _counts(points: Codes, operators: int) -> Array:
    """Return at how many sites each operator stands: [assignments, operators]."""
    rows = np.arange(len(points))[:, None] * operators
    return np.asarray(
        np.bincount((points + rows).ravel(), minlength=len(points) * operators).reshape(-1, operators), dtype=np.float64
    )
