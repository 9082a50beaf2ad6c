"""How many evaluations it takes to reach the best assignments: empirical distributions over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safs.comparison.figures.looks import evaluation_axis, legend, looks, title
from safs.comparison.text import ranked
from safs.report.figures import style

PANELS = {"best_1": "the best 1 %", "best_5": "the best 5 %"}


def shares(by_seed: Sequence[float | None], last: int) -> list[float]:
    """Return which share of the seeds is there after 0, 1, … `last` evaluations.

    Args:
        by_seed: after how many evaluations each seed was there, None if never.
        last: the budget.
    """
    return [sum(count is not None and count <= n for count in by_seed) / len(by_seed) for n in range(last + 1)]


def draw(result: Mapping[str, Any]) -> style.Picture:
    """Return one panel of steps for each goal."""
    figure, panels = style.panels(1, len(PANELS), 3.3)
    known, iterations = looks(result), result["setting"]["iterations"]
    searchers, told = ranked(result), []
    for axes, (name, goal) in zip(panels, PANELS.items(), strict=True):
        for each in reversed(searchers):
            percent = [100 * share for share in shares(each["reach"][name]["by_seed"], iterations)]
            known[each["label"]].line(axes, range(iterations + 1), percent, drawstyle="steps-post")
        title(axes, goal)
        axes.set_ylim(-3, 103)
        evaluation_axis(axes, 0, iterations)
        if name == "best_1":
            axes.set_ylabel("seeds that have reached it, %")
        ends = "; ".join(f"{each['label']} {100 * each['reach'][name]['reached']:.0f} %" for each in searchers)
        told.append(f"{goal} after {iterations}: {ends}")
    legend(figure, result)
    alt = "Share of the seeds that have reached " + "; and ".join(told) + "."
    return style.picture("reach", figure, alt)
