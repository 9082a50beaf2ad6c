"""What is measured of a searcher: arrays over seeds and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples of the seeds."""


def incumbents(costs: Sequence[float | None], evaluations: int, start: float | None = None) -> Array:
    """Return the lowest cost known after each evaluation: NaN before the first that succeeds.

    Args:
        costs: in the order of the evaluations, None where one failed; fewer than `evaluations` if the space is exhausted.
        evaluations: the length of the result.
        start: the lowest cost of what the searcher was given to start from.
    """
    values = [np.inf if cost is None else cost for cost in costs]
    values += [np.inf] * (evaluations - len(values))
    lowest = np.minimum.accumulate(np.array([np.inf if start is None else start, *values]))[1:]
    return np.where(np.isinf(lowest), np.nan, lowest)


def band(curves: Array, seed: int) -> tuple[Array, Array]:
    """Return the 95 % percentile bootstrap band of the mean curve (Efron 1979), resampling seeds: [seeds, evaluations]."""
    draws = np.random.default_rng(seed).integers(len(curves), size=(RESAMPLES, len(curves)))
    low, high = np.nanpercentile(np.nanmean(curves[draws], axis=1), [2.5, 97.5], axis=0)
    return low, high


def ranks(curves: Array) -> Array:
    """Return the mean rank of each searcher after each evaluation: [searchers, seeds, evaluations] to [searchers, ...].

    The best has rank 1; equals share the mean of their ranks. A searcher without a cost yet is the worst.
    """
    from scipy.stats import rankdata

    filled = np.where(np.isnan(curves), np.inf, curves)
    return np.asarray(rankdata(filled, axis=0).mean(axis=1))


def probability_of_beating(curves: Array, others: Array) -> Array:
    """Return the probability that a run of one searcher is better than one of another after each evaluation.

    Every run is compared with every run, equals counting one half (Vargha & Delaney 2000, their A).
    """
    ours, theirs = (np.where(np.isnan(x), np.inf, x) for x in (curves, others))
    better = (ours[:, None] < theirs[None]).mean(axis=(0, 1))
    equal = (ours[:, None] == theirs[None]).mean(axis=(0, 1))
    return np.asarray(better + equal / 2)


def evaluations_to_reach(curves: Array, threshold: float) -> Array:
    """Return after how many evaluations each seed is at or below a cost; infinity where it never is."""
    reached = curves <= threshold
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def smoothed(curve: Array) -> Array:
    """Return the trend of a curve: a + b·log(n) fitted by least squares, as in the paper's Fig. 6 (b)."""
    number = np.arange(1, len(curve) + 1)
    known = ~np.isnan(curve)
    if known.sum() < 2:
        return curve
    slope, intercept = np.polyfit(np.log(number[known]), curve[known], 1)
    return np.where(known, intercept + slope * np.log(number), np.nan)
