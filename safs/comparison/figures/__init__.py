"""The figures of a comparison, in the style of the report's; a searcher looks the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safs.comparison.figures import anytime, critical_difference, progress, reach
from safs.report.figures.style import Picture


def draw_all(result: Mapping[str, Any]) -> list[Picture]:
    """Return every figure for which a comparison holds data."""
    pictures = [
        anytime.draw(result),
        progress.draw_rank(result),
        progress.draw_beats_random(result),
        reach.draw(result),
        critical_difference.draw(result),
    ]
    return [picture for picture in pictures if picture is not None]
