"""The engines by name: what a config's `resources.engine` may be. None is imported before it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from spaces.errors import lookup

if TYPE_CHECKING:
    from safs.engines.base import Engine

ENGINES = {"inline": "safs.engines.inline:InlineEngine", "ray": "safs.engines.cluster.engine:RayEngine"}


def find_engine(name: str) -> type[Engine]:
    """Return the class of the engine `name`.

    Raises:
        UnknownNameError: if there is no such engine.
    """
    module, kind = lookup("engine", name, ENGINES).split(":")
    engine: type[Engine] = getattr(importlib.import_module(module), kind)
    return engine
