"""The versions of what decides a result."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from safs.version import __version__

_TRAINING = ("torch", "torchvision", "numpy")
"""Packages whose versions decide what a trial comes to."""
_SEARCHING = ("smac", "ConfigSpace", "optuna")
"""Packages whose versions decide what is tried next."""


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of those that decide what a trial comes to or what is tried next."""
    return {"safs": __version__} | {name: _version(name) for name in _TRAINING + _SEARCHING}


def training_versions() -> dict[str, str | None]:
    """Return the versions that decide what a trial comes to, without what they were built for (+cpu, +cu128)."""
    return {"safs": __version__} | {name: (_version(name) or "").partition("+")[0] or None for name in _TRAINING}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # searchers that need it say so
        return None
