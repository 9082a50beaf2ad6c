"""Which searchers differ: Friedman's test, Wilcoxon's signed ranks with Holm's correction, and critical differences."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Below which p-value searchers are said to differ."""
TESTS = (
    "Friedman's test of all, without which no pair is significant; for pairs Wilcoxon's signed-rank test, seeds "
    "without a difference ranked and counted half for each side, p-values corrected by Holm's method; Nemenyi's "
    "critical difference at 5 %"
)


@dataclass(frozen=True)
class Significance:
    """What may be concluded of the last incumbents of several searchers on the same seeds.

    Attributes:
        friedman: the p-value of "all are alike", or None with fewer than three searchers or two seeds.
        pairs: the p-values of "these two are alike", corrected by Holm's method.
        better: of each pair the one that the signed ranks favour, None if neither; mean ranks may favour the other one.
        ranks: the mean rank of each searcher; 1 is the best.
        critical_difference: how far mean ranks must be apart to differ at 5 % (Nemenyi; Demšar 2006), or None.
    """

    friedman: float | None
    pairs: Mapping[tuple[str, str], float]
    better: Mapping[tuple[str, str], str | None]
    ranks: Mapping[str, float]
    critical_difference: float | None

    def significant(self, pair: tuple[str, str]) -> bool:
        """Return whether two searchers differ; none do where Friedman's test says that all may be alike."""
        return self.pairs[pair] < LEVEL and (self.friedman is None or self.friedman < LEVEL)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the names of the tests."""
        return {
            "tests": TESTS,
            "friedman": self.friedman,
            "pairs": [
                {
                    "searchers": list(pair),
                    "p": p,
                    "significant": self.significant(pair),
                    "better": self.better[pair],
                }
                for pair, p in self.pairs.items()
            ],
            "ranks": dict(self.ranks),
            "critical_difference": self.critical_difference,
        }


def compare_finals(final: Mapping[str, Sequence[float]]) -> Significance:
    """Return what may be concluded of final costs, by searcher; seed by seed the searchers had the same start.

    Args:
        final: the lowest cost of every seed, infinity where every evaluation failed; as many for each searcher.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    names, values = list(final), np.array([final[name] for name in final], dtype=np.float64)
    searchers, seeds = values.shape
    mean_ranks = rankdata(values, axis=0).mean(axis=1)
    differences = {
        (a, b): _differences(values[i], values[j]) for (i, a), (j, b) in itertools.combinations(enumerate(names), 2)
    }
    several = searchers > 2 and seeds > 1 and bool((values != values[0]).any())
    spread = np.sqrt(searchers * (searchers + 1) / (6 * seeds))
    return Significance(
        friedman=float(friedmanchisquare(*values).pvalue) if several else None,
        pairs=holm({pair: _signed_rank(difference) for pair, difference in differences.items()}),
        better={pair: _favoured(pair, difference) for pair, difference in differences.items()},
        ranks=dict(zip(names, map(float, mean_ranks), strict=True)),
        critical_difference=(
            float(studentized_range.ppf(0.95, searchers, np.inf) / np.sqrt(2) * spread) if searchers > 1 else None
        ),
    )


def _differences(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a − b seed by seed, as large as a number may be where it is larger or only one of them failed."""
    with np.errstate(over="ignore"):
        differences = np.subtract(a, b, out=np.zeros_like(a), where=a != b)  # infinity less infinity is none
    return np.clip(differences, -np.finfo(np.float64).max, np.finfo(np.float64).max)


def _signed_rank(differences: NDArray[np.float64]) -> float:
    """Return the p-value of Wilcoxon's signed-rank test; differences of zero count half for each side."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences, zero_method="zsplit").pvalue) if differences.any() else 1.0


def _favoured(pair: tuple[str, str], differences: NDArray[np.float64]) -> str | None:
    from scipy.stats import rankdata

    balance = float(np.sign(differences) @ rankdata(np.abs(differences)))
    return None if balance == 0 else pair[balance > 0]


def holm(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return p-values corrected for their number by Holm's step-down method (1979)."""
    ordered = sorted(p_values, key=lambda pair: p_values[pair])
    corrected, highest = {}, 0.0
    for rank, pair in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p_values[pair]))
        corrected[pair] = highest
    return {pair: corrected[pair] for pair in p_values}
