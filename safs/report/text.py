"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from safs.report.rows import Gain, Row

NONE = "–"


def accuracy(row: Row | None) -> str:
    """Return for example "86.9 ± 2.8 %", without ± for a single seed."""
    if row is None or row.mean is None:
        return NONE
    return f"{row.mean:.1f} ± {row.std:.1f} %" if row.n > 1 else f"{row.mean:.1f} %"


def points(gain: Gain | None) -> str:
    """Return for example "+21.3"."""
    return NONE if gain is None else signed(gain.points)


def signed(value: float) -> str:
    """Return a number with its sign and one decimal; never "−0.0"."""
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def seeds(n: int) -> str:
    """Return for example "1 seed"."""
    return plural(n, "seed")


def plural(n: int, noun: str) -> str:
    """Return a number and a noun that agrees with it."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def scale(value: float | Sequence[float] | None) -> str:
    """Return α, β or a constant; one that is per channel as its mean and range."""
    if value is None:
        return NONE
    if isinstance(value, (int, float)):
        return _short(value)
    values = list(value)
    if not values:
        return NONE
    return f"{_short(fmean(values))} ({_short(min(values))} to {_short(max(values))})"


def setting(value: object) -> str:
    """Return the value of a hyperparameter."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return for example "1 h 02 min", "3 min 20 s", "4.8 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if seconds < 3600:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def _short(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
