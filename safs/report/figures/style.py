"""One style for all figures: Okabe and Ito's palette, which colour-blind people can tell apart, on white."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SAFS = "#0072B2"
VANILLA = "#D55E00"
ACCENT = "#009E73"
MUTED = "#8A93A0"
SOFT = "#C9CFD7"
INK = "#22272E"
GRID = "#E6E9ED"
WIDTH = 7.2
"""Inches; with 9-point text and 160 dots per inch it reads well at the page's width."""
DPI = 160
TEXT = 9.0
SMALL = 7.5


@dataclass(frozen=True)
class Picture:
    """A figure as it is written and shown: `name` is its file's, `alt` says in words what is to be seen."""

    name: str
    png: bytes
    alt: str


def picture(name: str, figure: Figure, alt: str) -> Picture:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return Picture(name, buffer.getvalue(), alt)


def axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure with one styled pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, styled(figure.add_subplot())


def panels(rows: int, columns: int, height: float) -> tuple[Figure, Iterator[Axes]]:
    """Return a figure with `rows` times `columns` styled axes that share their scales, row by row."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, (styled(each) for each in grid.flat)


def styled(each: Axes) -> Axes:
    """Give axes the look of the report."""
    for side in ("top", "right"):
        each.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        each.spines[side].set_color(SOFT)
    each.tick_params(colors=INK, labelsize=SMALL, length=3, color=SOFT)
    each.xaxis.label.set(color=INK, fontsize=TEXT)
    each.yaxis.label.set(color=INK, fontsize=TEXT)
    each.grid(True, color=GRID, linewidth=0.8)
    each.set_axisbelow(True)
    return each


def legend(each: Axes, **options: object) -> None:
    """Put a legend above the axes, where it hides no data."""
    each.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=4,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.4,
        **options,
    )


def literal(name: str, longest: int = 34) -> str:
    """Return a name for a label: shortened in the middle, and its `$` never read as mathematics."""
    if len(name) > longest:
        name = f"{name[: longest // 2 - 1]}…{name[-(longest // 2) :]}"
    return name.replace("$", r"\$")


def integer_ticks(each: Axes, last: int) -> None:
    """Tick the x axis, from 1 to `last`, at whole numbers."""
    step = max(1, -(-last // 12))
    each.set_xticks(range(step if step > 1 else 1, last + 1, step))
    each.set_xlim(0.5, last + 0.5)


def log_if_wide(each: Axes, values: list[float], ratio: float = 30.0) -> bool:
    """Make the y axis logarithmic where positive values span more than `ratio`; return whether it is."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) / min(finite) < ratio:
        return False
    each.set_yscale("log")
    each.minorticks_off()
    return True
