"""What is measured of searchers: incumbents by evaluation, and what they say of one searcher beside others.

Curves are arrays [seeds, evaluations] of the lowest cost so far, infinity before the first success.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safs.comparison.bootstrap import Array, Bootstrap


def incumbents(costs: Sequence[float | None], evaluations: int, start: Sequence[float | None] = ()) -> Array:
    """Return the lowest cost known after each evaluation, infinity before the first success.

    Args:
        costs: in the order of the evaluations, None where one failed; after the last of them its incumbent stays.
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


def band(curves: Array, bootstrap: Bootstrap) -> tuple[Array, Array]:
    """Return the 95 % bootstrap band of the mean curve; NaN where no seed has had a success."""
    low, high = bootstrap.limits(_means(bootstrap.weights, curves))
    return low, high


def _means(weights: Array, curves: Array) -> Array:
    """Return weighted means over the seeds with a success: [samples, seeds] and [seeds, n] to [samples, n]."""
    known = np.isfinite(curves)
    total = weights @ known
    sums = weights @ np.where(known, curves, 0.0)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)


def ranks(curves: Array) -> Array:
    """Return the rank of each searcher after each evaluation, with each seed: [searchers, seeds, n], as the curves.

    The lowest cost has rank 1; equals share the mean of their ranks.
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(curves, axis=0))


def probability_of_beating(curves: Array, others: Array) -> Array:
    """Return the probability that a run of one searcher is better than one of another after each evaluation.

    Every run is compared with every run, equals counting one half (Vargha & Delaney 2000, their A).
    """
    pairs = zip(curves.T, others.T, strict=True)
    return np.array([duels(ours, theirs).mean() for ours, theirs in pairs])


def duels(ours: Array, theirs: Array) -> Array:
    """Return 1 where a run of ours is better than one of theirs, ½ where they are equal: [seeds, seeds]."""
    return np.asarray((ours[:, None] < theirs[None]) + (ours[:, None] == theirs[None]) / 2)


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
