"""Write the page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write `figures/*.png` and a self-contained `comparison.html`, and return the latter's path.

    Args:
        folder: the run directory, in which the comparison's `config.yaml` lies.
        result: the comparison, as `evaluate_contest` returns it.

    Raises:
        SafsError: if the config cannot be read, or the page not be written.
    """
    from safs.comparison.figures import draw_all
    from safs.comparison.render import render
    from safs.files import write_atomically
    from spaces.errors import SafsError

    path = folder / "comparison.html"
    pictures = draw_all(result)
    try:
        page = render(result, (folder / "config.yaml").read_text(encoding="utf-8"), pictures)
        for picture in pictures:
            write_atomically(folder / "figures" / f"{picture.name}.png", picture.png)
        write_atomically(path, page)
    except OSError as error:
        raise SafsError(f"{path} cannot be written: {error.strerror or error} ({error.filename}).") from error
    return path
