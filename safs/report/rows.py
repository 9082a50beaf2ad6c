"""The table of invariant 9 as records, and how far two of its rows are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t, two-sided 95 %, for 1 to 10 degrees of freedom; the last one serves for more, to be on the safe side."""


@dataclass(frozen=True)
class Row:
    """One row: accuracies in percent over `n` seeds, `mean` None where every seed failed."""

    name: str
    mean: float | None
    std: float
    n: int
    failed: int
    sparsity: float
    nonzero: int
    total: int
    flops: int
    extra_parameters: int


@dataclass(frozen=True)
class Gain:
    """How many percentage points one row is above another.

    Attributes:
        points: the difference of the means.
        margin: half the width of its 95 % confidence interval (Welch), or None where a row has a single seed.
    """

    points: float
    margin: float | None

    @property
    def verdict(self) -> str:
        """Return "gain", "loss", "noise" (zero lies in the interval) or "unknown" (no interval)."""
        if self.margin is None:
            return "unknown"
        if abs(self.points) <= self.margin:
            return "noise"
        return "gain" if self.points > 0 else "loss"


def read_rows(summary: Mapping[str, Any]) -> dict[str, Row]:
    """Return the rows of a summary by name, in its order."""
    return {entry["name"]: _row(entry) for entry in summary["rows"]}


def gain(row: Row | None, reference: Row | None) -> Gain | None:
    """Return how far `row` is above `reference`, or None where one of them has no accuracy."""
    if row is None or reference is None or row.mean is None or reference.mean is None:
        return None
    return Gain(row.mean - reference.mean, _margin(row, reference))


def _row(entry: Mapping[str, Any]) -> Row:
    accuracy = entry["test_accuracy"]
    mean = accuracy["mean"]
    return Row(
        name=entry["name"],
        mean=mean if mean is not None and math.isfinite(mean) else None,
        std=accuracy["std"] or 0.0,
        n=accuracy["n"],
        failed=entry["failed"],
        sparsity=entry["sparsity"],
        nonzero=entry["nonzero"],
        total=entry["total"],
        flops=entry["flops"],
        extra_parameters=entry["extra_parameters"],
    )


def _margin(row: Row, reference: Row) -> float | None:
    if min(row.n, reference.n) < 2:
        return None
    a, b = row.std**2 / row.n, reference.std**2 / reference.n
    if a + b == 0:
        return 0.0
    freedom = (a + b) ** 2 / (a**2 / (row.n - 1) + b**2 / (reference.n - 1))
    return T95[min(max(int(freedom), 1), len(T95)) - 1] * math.sqrt(a + b)
