"""The figures of the report: one file each, all in the style of `style.py`."""

from __future__ import annotations

from safs.report.collect import Run
from safs.report.figures import baselines, frequency, gradient_flow, search, shapes, time, tuning
from safs.report.figures.style import Picture


def draw_all(run: Run) -> list[Picture]:
    """Return every figure for which the run holds data."""
    pictures = [
        baselines.draw(run),
        *shapes.draw(run),
        search.draw(run),
        frequency.draw(run),
        gradient_flow.draw(run),
        tuning.draw(run),
        time.draw(run),
    ]
    return [picture for picture in pictures if picture is not None]
