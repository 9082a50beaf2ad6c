"""The Python that makes a network of the user's own class, for the snippets that an export prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def making(name: str, kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """Return an import statement and an expression that make the network called `name`.

    Args:
        name: as in `model.name` of a config.
        kwargs: the arguments of its factory.
    """
    given = f"**{dict(kwargs)!r}" if kwargs else ""
    if name.startswith("torchvision/"):
        builder = name.removeprefix("torchvision/")
        return f"from torchvision.models import {builder}", f"{builder}({given})"
    if ":" in name:
        module, factory = name.split(":", 1)
        return f"from {module} import {factory}", f"{factory}({given})"
    arguments = f"{name!r}, {dict(kwargs)!r}" if kwargs else repr(name)
    return "from safs.models.registry import make_model", f"make_model({arguments}, seed=0)"
