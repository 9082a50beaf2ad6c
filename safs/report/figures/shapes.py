"""The learned activation of every site against the original one (Fig. 1 of the paper): small multiples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from safs.report.collect import Run, SiteResult
from safs.report.figures import style
from spaces.operators import OPERATORS

PANELS = 24
"""Sites on one figure."""
COLUMNS = 4
REACH = 4.0
"""Inputs and outputs shown: −4 to 4."""


def draw(run: Run) -> Iterator[style.Picture]:
    """Yield one figure per 24 sites."""
    pages = [run.sites[start : start + PANELS] for start in range(0, len(run.sites), PANELS)]
    for number, sites in enumerate(pages, start=1):
        name = "shapes" if len(pages) == 1 else f"shapes-{number}"
        yield _page(name, sites)


def curves(site: SiteResult, x: Tensor) -> Tensor | None:
    """Return α·f(β·x) of a site, one row per channel (one in all where nothing is per channel).

    None where the operator is not in this version's table, or a value is not finite.
    """
    operator = OPERATORS.get(site.operator)
    if operator is None:
        return None
    constants = {name: _column(value) for name, value in site.constants.items()}
    with torch.no_grad():
        z = _column(site.beta) * x
        constants = {**{name: _column(value) for name, value in operator.constants.items()}, **constants}
        return (_column(site.alpha) * operator.function(z, **constants)).reshape(-1, len(x))


def _column(value: float | Sequence[float] | None) -> Tensor:
    """Return one row per channel, which broadcasts along x; what was not learned is 1."""
    return torch.as_tensor(1.0 if value is None else value, dtype=torch.float64).reshape(-1, 1)


def _page(name: str, sites: Sequence[SiteResult]) -> style.Picture:
    columns = min(COLUMNS, len(sites))
    rows = -(-len(sites) // columns)
    figure, axes = style.panels(rows, columns, rows * (1.75 if columns == COLUMNS else 2.2) + 0.45)
    for site in sites:
        _panel(next(axes), site)
    for empty in axes:
        empty.set_visible(False)
    figure.supxlabel("input x of the site", fontsize=style.TEXT, color=style.INK)
    figure.supylabel("output y", fontsize=style.TEXT, color=style.INK)
    alt = "Learned activation of each site against the original: " + "; ".join(
        f"{site.name} {site.original} to {site.operator}" for site in sites
    )
    return style.picture(name, figure, alt)


def _panel(axes: Axes, site: SiteResult) -> None:
    x = torch.linspace(-REACH, REACH, 241, dtype=torch.float64)
    original = curves(SiteResult(site.name, site.original, site.original, None, None, {}), x)
    if original is not None:
        axes.plot(x, original[0], color=style.VANILLA, linewidth=1.3, linestyle=(0, (4, 2)))
    learned = curves(site, x)
    if learned is None:
        axes.text(0, 0, "no formula here", ha="center", fontsize=style.SMALL, color=style.MUTED)
    else:
        # A curve far outside the panel only costs drawing time, and infinity cannot be drawn at all.
        learned = learned.nan_to_num(nan=0.0).clamp(-100.0, 100.0)
        if len(learned) > 1:
            low, high = learned.min(dim=0).values, learned.max(dim=0).values
            axes.fill_between(x, low, high, color=style.SAFS, alpha=0.18, linewidth=0)
        axes.plot(x, learned.median(dim=0).values, color=style.SAFS, linewidth=1.8)
    axes.set_xlim(-REACH, REACH)
    axes.set_ylim(-REACH, REACH)
    axes.set_xticks([-4, -2, 0, 2, 4])
    axes.set_yticks([-4, -2, 0, 2, 4])
    axes.set_title(style.literal(site.name, 24), fontsize=style.SMALL, color=style.INK, loc="left", pad=3)
    label = site.operator if site.operator != site.original else f"{site.operator} (kept)"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2}
    axes.text(
        -3.75, 3.6, style.literal(label), fontsize=style.SMALL, color=style.SAFS, va="top", weight="bold", bbox=box
    )
