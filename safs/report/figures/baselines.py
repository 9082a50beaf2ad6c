"""Test accuracy of every row, with every seed as a point."""

from __future__ import annotations

from matplotlib.axes import Axes

from safs.report import text
from safs.report.collect import Run
from safs.report.figures import style
from safs.report.words import TITLES

BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
COLOURS = {"safs": style.SAFS, "vanilla": style.VANILLA}


def draw(run: Run) -> style.Picture | None:
    """Return bars of the means, error bars of one standard deviation and a point per seed."""
    rows = list(run.rows.values())
    figure, axes = style.axes(0.36 * len(rows) + 0.8)
    for position, row in enumerate(rows):
        if row.mean is None:
            axes.text(0.8, position, "every seed failed", va="center", color=style.MUTED, fontsize=style.SMALL)
            continue
        colour = COLOURS.get(row.name, style.MUTED)
        axes.barh(position, row.mean, height=0.62, color=colour, alpha=0.35 if row.name not in COLOURS else 0.55)
        if row.n > 1:
            axes.errorbar(row.mean, position, xerr=row.std, color=style.INK, linewidth=1.1, capsize=3, capthick=1.1)
        values = list(run.seeds.get(row.name, []))
        axes.plot(values, [position] * len(values), "o", color=colour, markersize=4, markeredgecolor="white", mew=0.6)
        right = max([row.mean + row.std, *values])
        label = text.accuracy(row)
        axes.text(right + 1.2, position, label, va="center", color=style.INK, fontsize=style.SMALL, bbox=BOX)
    _reference_lines(run, axes)
    axes.set_yticks(range(len(rows)), [style.literal(TITLES.get(row.name, row.name)) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.set_xlim(0, 116)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("test accuracy, %")
    alt = "Bar chart of test accuracy: " + "; ".join(
        f"{TITLES.get(row.name, row.name)} {text.accuracy(row)}" for row in rows
    )
    return style.picture("baselines", figure, alt)


def _reference_lines(run: Run, axes: Axes) -> None:
    """Mark the reference row's mean and, where the mask sets one, the ceiling."""
    vanilla = run.rows.get("vanilla")
    if vanilla is not None and vanilla.mean is not None:
        axes.axvline(vanilla.mean, color=style.VANILLA, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)
    ceiling = run.mask.get("accuracy_ceiling")
    if ceiling is not None and ceiling < 99.95:
        axes.axvline(ceiling, color=style.INK, linewidth=1, linestyle=":")
        axes.text(
            ceiling,
            1.01,
            "ceiling of the mask",
            fontsize=style.SMALL,
            color=style.INK,
            ha="center",
            va="bottom",
            transform=axes.get_xaxis_transform(),
        )
