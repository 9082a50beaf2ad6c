"""The critical-difference diagram: mean ranks on an axis, and bars over those that are not told apart (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from safs.comparison.figures.looks import Look, looks
from safs.report.figures import style

AXIS, BAR, ROW = 0.68, 0.13, 0.2
"""Inches: from the top to the axis, from bar to bar, from name to name."""
MARGIN, GAP = 0.1, 0.15


def groups(ranks: Mapping[str, float], critical_difference: float) -> list[list[str]]:
    """Return the largest sets of searchers whose mean ranks are all closer than the critical difference.

    Two searchers are in a common set exactly if they are closer; a searcher that is close to no other is in none.
    """
    labels = sorted(ranks, key=lambda label: ranks[label])
    found, reached = [], 0
    for first, label in enumerate(labels):
        group = [other for other in labels[first:] if ranks[other] - ranks[label] < critical_difference]
        if len(group) > 1 and first + len(group) > reached:
            found.append(group)
            reached = first + len(group)
    return found


def draw(result: Mapping[str, Any]) -> style.Picture | None:
    """Return the diagram, or None with one searcher."""
    ranks, distance = result["significance"]["ranks"], result["significance"]["critical_difference"]
    if distance is None:
        return None
    close = groups(ranks, distance)
    figure = diagram(ranks, distance, close, looks(result))
    told = "; ".join(f"{label} {ranks[label]:.2f}" for label in sorted(ranks, key=lambda label: ranks[label]))
    joined = "; ".join(" – ".join((group[0], group[-1])) for group in close) or "none"
    alt = f"Mean ranks: {told}. The critical difference is {distance:.2f}. Bars join: {joined}."
    return style.picture("critical-difference", figure, alt)


def diagram(ranks: Mapping[str, float], distance: float, close: list[list[str]], known: Mapping[str, Look]) -> Figure:
    """Return the diagram as a figure whose axes are measured in inches, from the top left."""
    labels = sorted(ranks, key=lambda label: ranks[label])
    middle = -(-len(labels) // 2)
    sides = labels[:middle], labels[middle:][::-1]
    names = {label: f"{known[label].name}  {ranks[label]:.2f}" for label in labels}
    left, right = (max(_width(names[label]) for label in side) + MARGIN + GAP for side in sides)
    first_row = AXIS + BAR * (len(close) + 1) + 0.14
    height = first_row + ROW * (middle - 1) + 0.2
    figure = Figure(figsize=(style.WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, style.WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    scale = (style.WIDTH - right - left) / (len(labels) - 1)

    def place(rank: float) -> float:
        return left + (rank - 1) * scale

    _axis(axes, [place(rank) for rank in range(1, len(labels) + 1)])
    longest = len(labels) - 1
    _critical_difference(axes, distance, place(1), place(1 + min(distance, longest)), longer=distance > longest)
    for side, edge, align in zip(sides, (left, style.WIDTH - right), ("right", "left"), strict=True):
        outwards = edge - GAP / 2 if align == "right" else edge + GAP / 2
        for row, label in enumerate(side):
            x, y = place(ranks[label]), first_row + ROW * row
            axes.plot([x, x, outwards], [AXIS, y, y], color=known[label].colour, linewidth=1.1, solid_joinstyle="miter")
            axes.plot(x, AXIS, known[label].marker, color=known[label].colour, markersize=5, mec="white", mew=0.5)
            start = edge - GAP if align == "right" else edge + GAP
            axes.text(start, y, names[label], ha=align, va="center", fontsize=style.SMALL, color=style.INK)
    for row, group in enumerate(close, start=1):
        ends = [place(ranks[group[0]]) - 0.04, place(ranks[group[-1]]) + 0.04]
        axes.plot(ends, [AXIS + BAR * row] * 2, color=style.INK, linewidth=3, solid_capstyle="butt")
    return figure


def _axis(axes: Axes, places: list[float]) -> None:
    axes.plot([places[0], places[-1]], [AXIS, AXIS], color=style.INK, linewidth=1)
    for rank, place in enumerate(places, start=1):
        axes.plot([place, place], [AXIS - 0.06, AXIS], color=style.INK, linewidth=1)
        axes.text(place, AXIS - 0.1, str(rank), ha="center", va="bottom", fontsize=style.SMALL, color=style.INK)


def _critical_difference(axes: Axes, distance: float, start: float, end: float, *, longer: bool) -> None:
    """Show above the axis how long the critical difference is."""
    axes.errorbar(
        (start + end) / 2, 0.32, xerr=(end - start) / 2, color=style.INK, linewidth=1.2, capsize=3, capthick=1.2
    )
    words = f"critical difference {distance:.2f}" + (", more than the whole axis" if longer else "")
    axes.text(start, 0.24, words, va="bottom", fontsize=style.SMALL, color=style.INK)


def _width(name: str) -> float:
    return float(TextPath((0, 0), name, size=style.SMALL).get_extents().width) / 72
