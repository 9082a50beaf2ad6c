"""What is measured of searchers: incumbents by evaluation, and what they say of one searcher beside others.

Curves are arrays [seeds, evaluations] of the lowest cost so far, infinity before the first success.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples of the seeds."""


def incumbents(costs: Sequence[float | None], evaluations: int, start: Sequence[float | None] = ()) -> Array:
    """Return the lowest cost known after each evaluation, infinity before the first success.

    Args:
        costs: in the order of the evaluations, None where one failed; fewer than `evaluations` if the space was
            exhausted.
        evaluations: the length of the result.
        start: the costs of what was known before the first evaluation.
    """
    given = min((cost for cost in start if cost is not None), default=np.inf)
    values = [np.inf if cost is None else cost for cost in costs]
    values += [np.inf] * (evaluations - len(values))
    return np.asarray(np.minimum.accumulate([given, *values])[1:])


def mean_curve(curves: Array) -> Array:
    """Return the mean over the seeds that have had a success; NaN where there is none."""
    return np.asarray(_means(np.ones((1, len(curves))), curves)[0])


def band(curves: Array, seed: int) -> tuple[Array, Array]:
    """Return the 95 % bootstrap band of the mean curve (Efron 1979), which resamples the seeds.

    The percentiles are expanded for the number of seeds (Hesterberg 2015); below ten it is too narrow all the same: of
    three seeds no resampling makes a band that holds the mean more often than in three of four cases.
    """
    from scipy.stats import norm, t

    seeds = len(curves)
    draws = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
    means = _means(draws.astype(np.float64), curves)
    tail = norm.cdf(-np.sqrt(seeds / (seeds - 1)) * t.ppf(0.975, seeds - 1)) if seeds > 1 else 0.0
    known = np.isfinite(means).any(axis=0)
    limits = np.full((2, curves.shape[1]), np.nan)
    limits[:, known] = np.nanquantile(means[:, known], [tail, 1 - tail], axis=0)
    return limits[0], limits[1]


def _means(weights: Array, curves: Array) -> Array:
    """Return weighted means over the seeds with a success: [samples, seeds] and [seeds, n] to [samples, n]."""
    known = np.isfinite(curves)
    total = weights @ known
    sums = weights @ np.where(known, curves, 0.0)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)


def ranks(curves: Array) -> Array:
    """Return the mean rank of each searcher after each evaluation: [searchers, seeds, n] to [searchers, n].

    The lowest cost has rank 1; equals share the mean of their ranks.
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(curves, axis=0).mean(axis=1))


def probability_of_beating(curves: Array, others: Array) -> Array:
    """Return the probability that a run of one searcher is better than one of another after each evaluation.

    Every run is compared with every run, equals counting one half (Vargha & Delaney 2000, their A).
    """
    better = (curves[:, None] < others[None]).mean(axis=(0, 1))
    equal = (curves[:, None] == others[None]).mean(axis=(0, 1))
    return np.asarray(better + equal / 2)


def evaluations_to_reach(curves: Array, thresholds: Array, start: Array) -> Array:
    """Return after how many evaluations each seed is at or below its threshold, infinity where it never is: [seeds].

    Args:
        curves: [seeds, evaluations].
        thresholds: a cost for each seed.
        start: the lowest cost that each seed was given; where it is low enough, the result is 0.
    """
    reached = np.concatenate([start[:, None], curves], axis=1) <= thresholds[:, None]
    return np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)


def smoothed(curve: Array) -> Array:
    """Return the trend of a curve: a + b·ln n fitted by least squares, as in the paper's Fig. 6 (b)."""
    number = np.arange(1, len(curve) + 1)
    known = np.isfinite(curve)
    if known.sum() < 2:
        return curve
    slope, intercept = np.polyfit(np.log(number[known]), curve[known], 1)
    return np.where(known, intercept + slope * np.log(number), np.nan)
