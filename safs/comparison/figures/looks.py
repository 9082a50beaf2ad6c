"""How each searcher is drawn: a colour, and a dash and a marker that tell it apart without the colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from safs.comparison.result import REFERENCE
from safs.comparison.text import ranked
from safs.report.figures import style

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#22272E", "#7A4B1E", "#5B3A9E")
"""Okabe and Ito's, less the yellow that white swallows, and two darker ones; grey is kept for random search."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")


@dataclass(frozen=True)
class Look:
    """How a searcher is drawn, and what it is called there: `position` counts from 0 in the order of the config."""

    position: int
    name: str
    colour: str
    dash: Any
    marker: str

    def line(self, axes: Axes, x: ArrayLike, y: ArrayLike, **options: Any) -> None:
        """Draw a line with a few markers, which other searchers have at other places."""
        count = len(list(x))  # type: ignore[arg-type]
        step = max(1, count // 6)
        every = (self.position * step // 5 % step, step)
        axes.plot(x, y, markevery=every, **{**self._style(), **options})

    def handle(self) -> Line2D:
        """Return the searcher's entry of a legend."""
        return Line2D([], [], label=self.name, **self._style())

    def _style(self) -> dict[str, Any]:
        return {
            "color": self.colour,
            "linestyle": self.dash,
            "linewidth": 1.5,
            "marker": self.marker,
            "markersize": 4.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
        }


def looks(result: Mapping[str, Any]) -> dict[str, Look]:
    """Return by label how each searcher is drawn; random search is grey."""
    names = _names([each["label"] for each in ranked(result)])
    found: dict[str, Look] = {}
    coloured = 0
    for position, each in enumerate(result["searchers"]):
        grey = each["searcher"] == REFERENCE and style.MUTED not in {look.colour for look in found.values()}
        colour = style.MUTED if grey else COLOURS[coloured % len(COLOURS)]
        coloured += not grey
        dash, marker = DASHES[position % len(DASHES)], MARKERS[position % len(MARKERS)]
        found[each["label"]] = Look(position, names[each["label"]], colour, dash, marker)
    return found


def _names(labels: list[str]) -> dict[str, str]:
    """Return labels as the figures show them: short, and with their places where that makes them alike."""
    shown = {label: style.literal(_drawable(" ".join(label.split()))) for label in labels}
    if len(set(shown.values())) == len(labels):
        return shown
    return {label: f"{place}: {shown[label]}" for place, label in enumerate(labels, start=1)}


def _drawable(name: str) -> str:
    """Return a name with a box for every character that the font of the figures has not."""
    font = get_font(findfont(FontProperties()))
    return "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in name)


def legend(figure: Figure, result: Mapping[str, Any]) -> None:
    """Put the searchers above a figure, the best mean rank first, in as many columns as their names allow."""
    known = looks(result)
    handles = [known[each["label"]].handle() for each in ranked(result)]
    width = 0.5 + 0.062 * max(len(look.name) for look in known.values())
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, min(5, len(handles), int(style.WIDTH / width))),
        frameon=False,
        fontsize=style.SMALL,
        labelcolor=style.INK,
        handlelength=2.8,
        columnspacing=1.4,
    )


def evaluation_axis(axes: Axes, first: int, last: int) -> None:
    """Label the x axis with the evaluations from `first` to `last`."""
    margin = max(0.02 * (last - first), 0.2)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlabel("evaluation")


def title(axes: Axes, words: str) -> None:
    """Name one of several panels."""
    axes.set_title(words, loc="left", fontsize=style.SMALL, color=style.INK)
