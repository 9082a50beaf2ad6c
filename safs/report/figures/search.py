"""The stage-1 search: the cost of every evaluation and the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from safs.report.collect import Run, Trial
from safs.report.figures import style
from safs.report.words import COSTS


def evaluations(run: Run) -> list[Trial]:
    """Return the evaluations of stage 1, single operators first, in the order in which they were asked for."""
    return [trial for trial in run.once if trial.phase in ("uniform", "stage1")]


def incumbents(costs: Sequence[float | None]) -> list[float]:
    """Return the lowest cost after each evaluation; NaN before the first success."""
    best, found = math.nan, []
    for cost in costs:
        if cost is not None and not cost >= best:
            best = cost
        found.append(best)
    return found


def draw(run: Run) -> style.Picture | None:
    """Return the search curve, or None if stage 1 trained nothing."""
    trials = evaluations(run)
    if not trials:
        return None
    costs = [trial.outcome.cost for trial in trials]
    figure, axes = style.axes(3.2)
    best = incumbents(costs)
    numbers = range(1, len(trials) + 1)
    axes.step(numbers, best, where="post", color=style.ACCENT, linewidth=1.6, label="best so far", zorder=2)
    _points(axes, trials, "uniform", "one operator at all sites", marker="s", color="white", edge=style.INK)
    _points(axes, trials, "stage1", "proposed by the searcher", marker="o", color=style.SAFS, edge="white")
    failed = [number for number, cost in zip(numbers, costs, strict=True) if cost is None]
    if failed:
        top = axes.get_xaxis_transform()
        axes.plot(failed, [0.965] * len(failed), "x", color=style.VANILLA, transform=top, label="failed", clip_on=False)
    if style.log_if_wide(axes, [cost for cost in costs if cost is not None]):
        axes.set_ylabel(f"{COSTS[run.config.stage1.fitness]} (log scale)")
    else:
        axes.set_ylabel(COSTS[run.config.stage1.fitness])
        axes.margins(y=0.12)
    axes.set_xlabel("evaluation")
    style.integer_ticks(axes, len(trials))
    _name_uniform(axes, trials)
    style.legend(axes)
    ended = "no success" if math.isnan(best[-1]) else f"the lowest cost is {best[-1]:.3f}"
    alt = f"Cost of {len(trials)} stage-1 evaluations, {len(failed)} of them failed; {ended}."
    return style.picture("search", figure, alt)


def _points(axes: Axes, trials: Sequence[Trial], phase: str, label: str, *, marker: str, color: str, edge: str) -> None:
    points = [
        (number, trial.outcome.cost)
        for number, trial in enumerate(trials, start=1)
        if trial.phase == phase and trial.outcome.cost is not None
    ]
    if points:
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, s=26, marker=marker, facecolor=color, edgecolor=edge, linewidth=0.9, label=label, zorder=3)


def _name_uniform(axes: Axes, trials: Sequence[Trial]) -> None:
    """Write the operator beside single-operator evaluations, where there is room for it."""
    if len(trials) > 60:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low) if axes.get_yscale() == "linear" else low / 2, high)
    for number, trial in enumerate(trials, start=1):
        if trial.phase == "uniform" and trial.outcome.cost is not None:
            axes.annotate(
                style.literal(trial.spec.assignment[0]),
                (number, trial.outcome.cost),
                xytext=(0, -6),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="top",
                fontsize=6.5,
                color=style.MUTED,
            )
