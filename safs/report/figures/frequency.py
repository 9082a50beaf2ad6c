"""How often the searcher tried each operator at each site (Fig. 5 of the paper)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from safs.report.collect import Run, Trial
from safs.report.figures import style

CELLS_WITH_NUMBERS = 800


def proposals(run: Run) -> list[Trial]:
    """Return the evaluations that the searcher asked for itself."""
    return [trial for trial in run.once if trial.phase == "stage1"]


def draw(run: Run) -> style.Picture | None:
    """Return the heat map, sites down and operators across, or None if the searcher had nothing trained."""
    trials = proposals(run)
    sites = [site["name"] for site in run.problem["sites"]]
    if not trials or not sites:
        return None
    operators = list(run.config.stage1.operators)
    counts = np.zeros((len(sites), len(operators)), dtype=int)
    for trial in trials:
        for site, operator in enumerate(trial.spec.assignment):
            counts[site, operators.index(operator)] += 1
    figure, axes = style.axes(0.24 * len(sites) + 1.1)
    colours = LinearSegmentedColormap.from_list("safs", ["#F3F5F7", "#9CC9E3", style.SAFS, "#003B5C"])
    image = axes.pcolormesh(counts, cmap=colours, vmin=0, vmax=counts.max(), edgecolors="white", linewidth=1.2)
    if counts.size <= CELLS_WITH_NUMBERS:
        _numbers(axes, counts)
    else:
        _colour_bar(figure, axes, image)
    for site, operator in enumerate(run.found):
        if operator in operators:
            corner = (operators.index(operator) + 0.04, site + 0.06)
            axes.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=style.VANILLA, linewidth=1.8))
    axes.set_xticks(np.arange(len(operators)) + 0.5, operators, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(sites)) + 0.5, [style.literal(site) for site in sites])
    axes.invert_yaxis()
    axes.grid(False)
    axes.tick_params(length=0)
    alt = f"Heat map of how often each of {len(operators)} operators was tried at each of {len(sites)} sites."
    return style.picture("frequency", figure, alt)


def _numbers(axes: Axes, counts: np.ndarray) -> None:
    for (site, operator), count in np.ndenumerate(counts):
        if count:
            colour = "white" if count > 0.55 * counts.max() else style.INK
            axes.text(operator + 0.5, site + 0.5, str(count), ha="center", va="center", fontsize=7, color=colour)


def _colour_bar(figure: Figure, axes: Axes, image: QuadMesh) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.015, aspect=30, anchor=(0.0, 1.0))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, length=0)
