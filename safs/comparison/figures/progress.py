"""How the searchers stand to each other while the budget is spent: mean rank, and who beats random search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator

from safs.comparison.figures.looks import evaluation_axis, legend, looks
from safs.comparison.text import ranked
from safs.report.figures import style


def draw_rank(result: Mapping[str, Any]) -> style.Picture | None:
    """Return the mean rank by evaluation, or None with one searcher."""
    searchers = ranked(result)
    if len(searchers) < 2:
        return None
    figure, axes = style.axes(3.3)
    known, iterations = looks(result), result["setting"]["iterations"]
    for each in reversed(searchers):
        known[each["label"]].line(axes, range(1, iterations + 1), each["rank"])
    axes.set_ylim(len(searchers) + 0.15, 0.85)
    axes.set_yticks(range(1, len(searchers) + 1, -(-len(searchers) // 12)))
    axes.set_ylabel("mean rank (1 is best)")
    evaluation_axis(axes, 1, iterations)
    legend(figure, result)
    ends = "; ".join(f"{each['label']} {each['rank'][-1]:.2f}" for each in searchers)
    return style.picture("rank", figure, f"Mean rank by evaluation. After {iterations}: {ends}.")


def draw_beats_random(result: Mapping[str, Any]) -> style.Picture | None:
    """Return the probability of beating random search by evaluation, or None if nobody could."""
    searchers = ranked(result)
    if len(searchers) < 2 or any(each["beats_random"] is None for each in searchers):
        return None
    figure, axes = style.axes(3.3)
    known, iterations = looks(result), result["setting"]["iterations"]
    axes.axhline(50, color=style.INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
    farthest = 10.0
    for each in reversed(searchers):
        percent = [100 * value for value in each["beats_random"]]
        farthest = max([farthest, *(abs(value - 50) for value in percent)])
        known[each["label"]].line(axes, range(1, iterations + 1), percent)
    half = min(51.5, 1.08 * farthest)
    axes.set_ylim(50 - half, 50 + half)
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.set_ylabel("beats random search, %")
    evaluation_axis(axes, 1, iterations)
    legend(figure, result)
    ends = "; ".join(f"{each['label']} {100 * each['beats_random'][-1]:.0f} %" for each in searchers)
    alt = f"Probability of beating random search by evaluation, with a line at 50 %. After {iterations}: {ends}."
    return style.picture("beats-random", figure, alt)
