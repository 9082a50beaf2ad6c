"""SAFS: searches activation functions for pruned PyTorch networks and gives their accuracy back.

Importing the package loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from safs.version import __version__

if TYPE_CHECKING:
    from safs.config.schema import Config
    from safs.export import load_best, load_exported
    from safs.sites import find_sites
    from safs.study import Study
    from safs.surgery import SiteChoice, apply_assignment

__all__ = [
    "Config",
    "SiteChoice",
    "Study",
    "__version__",
    "apply_assignment",
    "find_sites",
    "load_best",
    "load_exported",
]

_MODULES = {
    "Config": "safs.config.schema",
    "SiteChoice": "safs.surgery",
    "Study": "safs.study",
    "apply_assignment": "safs.surgery",
    "find_sites": "safs.sites",
    "load_best": "safs.export",
    "load_exported": "safs.export",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'safs' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
