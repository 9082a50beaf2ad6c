"""The lowest cost by evaluation, as in the paper's Fig. 6: the mean over the seeds, and its trend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safs.comparison.figures.looks import evaluation_axis, legend, looks, title
from safs.comparison.text import cost, ranked
from safs.report.figures import style
from safs.report.words import COSTS


def draw(result: Mapping[str, Any]) -> style.Picture | None:
    """Return the curves and their trends side by side, or None if no evaluation of any seed succeeded."""
    if not any(any(each["curve"]["seeds"]) for each in result["searchers"]):
        return None
    iterations, seeds = result["setting"]["iterations"], len(result["setting"]["seeds"])
    figure, panels = style.panels(1, 2, 3.5)
    raw, trend = panels
    known, values = looks(result), []
    shade = 0.14 if len(known) <= 5 else 0.08
    numbers = np.arange(1, iterations + 1)
    for each in reversed(ranked(result)):  # the best on top
        look = known[each["label"]]
        curve = {name: _array(each["curve"][name]) for name in ("mean", "low", "high", "smoothed", "seeds")}
        values += [value for name in ("low", "high", "smoothed") for value in curve[name]]
        raw.fill_between(numbers, curve["low"], curve["high"], color=look.colour, alpha=shade, linewidth=0)
        whole = np.where(curve["seeds"] == seeds, curve["mean"], np.nan)
        part = np.where(_before(whole), curve["mean"], np.nan)
        look.line(raw, numbers, part, alpha=0.45, markerfacecolor="white", markeredgecolor=look.colour)
        look.line(raw, numbers, whole)
        look.line(trend, numbers, curve["smoothed"])
    name = COSTS[result["setting"]["fitness"]]
    raw.set_ylabel(f"lowest {name} so far" + (" (log scale)" if style.log_if_wide(raw, values) else ""))
    title(raw, "(a) mean over the seeds, 95 % bootstrap band")
    title(trend, "(b) its trend, a + b·ln(n)")
    for panel in (raw, trend):
        evaluation_axis(panel, 1, iterations)
    legend(figure, result)
    ends = "; ".join(f"{each['label']} {cost(each['final'])}" for each in ranked(result))
    alt = f"Lowest {name} so far by evaluation, mean over {seeds} seeds, and its trend. After {iterations}: {ends}."
    return style.picture("anytime", figure, alt)


def _array(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _before(whole: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a curve is not yet the mean of all seeds, and the one point where it first is."""
    known = np.isfinite(whole)
    return np.asarray(~known | (np.cumsum(known) == 1))
