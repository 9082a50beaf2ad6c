"""95 % intervals of what is measured over seeds, by resampling them (Efron 1979).

A resample has the same seeds of every searcher, as seed by seed they had the same start. The percentiles are expanded
for the number of seeds (Hesterberg 2015); below ten an interval is too narrow all the same: of three seeds no
resampling makes one that holds a mean more often than in three of four cases.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

RESAMPLES = 2000


class Bootstrap:
    """Resamples of some seeds, the same for everything that is asked of it.

    Args:
        seeds: how many.
        seed: of the resampling.

    Attributes:
        weights: how often each seed is in each resample, [resamples, seeds].
    """

    def __init__(self, seeds: int, seed: int) -> None:
        from scipy.stats import norm, t

        self._seeds = seeds
        draws = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
        self.weights: Array = draws.astype(np.float64)
        self._tail = float(norm.cdf(-np.sqrt(seeds / (seeds - 1)) * t.ppf(0.975, seeds - 1))) if seeds > 1 else 0.0

    def limits(self, resampled: Array) -> Array:
        """Return the interval of each column: [resamples, n] to [2, n]; NaN is left out, and where it is all is NaN."""
        known = np.isfinite(resampled).any(axis=0)
        limits = np.full((2, resampled.shape[1]), np.nan)
        limits[:, known] = np.nanquantile(resampled[:, known], [self._tail, 1 - self._tail], axis=0)
        return limits

    def mean(self, values: Array) -> Interval:
        """Return the interval of a mean over the seeds, as [seeds] has one for each."""
        return self._interval(self.weights @ values / self._seeds)

    def pairs(self, values: Array) -> Interval:
        """Return the interval of a mean over all pairs of a seed here and a seed there: [seeds, seeds]."""
        return self._interval(((self.weights @ values) * self.weights).sum(axis=1) / self._seeds**2)

    def median(self, values: Array) -> Interval:
        """Return the interval of a median over the seeds, some of which may be infinite: [seeds]."""
        order = np.argsort(values)
        ordered, before = values[order], self.weights[:, order].cumsum(axis=1)
        low = ordered[(before >= (self._seeds + 1) // 2).argmax(axis=1)]
        high = ordered[(before >= self._seeds // 2 + 1).argmax(axis=1)]
        return self._interval((low + high) / 2)

    def _interval(self, resampled: Array) -> Interval:
        # Of the resamples two are taken, not what lies between: that would be none where one is infinite.
        low, high = np.quantile(resampled, [self._tail, 1 - self._tail], method="nearest")
        return float(low), float(high)
