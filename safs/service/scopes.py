"""What a token allows."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a token allows; each scope includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Return whether it allows what the other does."""
        order = list(Scope)
        return order.index(self) >= order.index(other)
