"""Names for things: nobody can choose or guess them."""

from __future__ import annotations

import re
import secrets
import time

_PATTERN = re.compile(r"[0-9a-f]{24}\Z")


def new_id() -> str:
    """Return 24 hexadecimal digits that grow with time: 11 of milliseconds since 1970, 13 of chance."""
    return f"{int(time.time() * 1000):011x}{secrets.randbits(52):013x}"


def made_at(id: str) -> float:
    """Return when a name was made, in seconds since 1970."""
    return int(id[:11], 16) / 1000


def is_id(text: str) -> bool:
    """Return whether a text may be the name of a study."""
    return _PATTERN.match(text) is not None
