"""The Python client of the service: `with Client("http://127.0.0.1:8000", token) as client: client.submit(config)`.

`client` is what there is to call, `connection` how it gets there: one origin, retries, errors in sentences.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safs.client.client import Client
    from safs.client.errors import ServiceError, Unreachable
    from safs.client.records import Artifact, Event, Study, Trial

_HOMES = {
    "Client": "client",
    "ServiceError": "errors",
    "Unreachable": "errors",
    "Artifact": "records",
    "Event": "records",
    "Study": "records",
    "Trial": "records",
}

__all__ = ["Artifact", "Client", "Event", "ServiceError", "Study", "Trial", "Unreachable"]


def __getattr__(name: str) -> Any:
    """Load a name on its first use: whoever only asks where the token is needs no HTTP."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
