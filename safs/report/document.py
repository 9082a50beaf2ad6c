"""One HTML document from a template; the pages of the project share their style and their skeleton."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from safs.report.figures.style import Picture


def fill(template: Path, values: Mapping[str, Any]) -> str:
    """Return a template filled in; it may extend `base.html` and use what lies beside that."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(values)


def embedded(picture: Picture) -> dict[str, str]:
    """Return what an <img> needs to show a figure without asking for a file."""
    return {"source": "data:image/png;base64," + base64.b64encode(picture.png).decode(), "alt": picture.alt}
