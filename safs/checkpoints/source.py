"""Which file an error is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spaces.errors import SafsError

TRUST = "pass --trust-pickle (in a config `model.trust_pickle: true`) if you trust whoever made it"
"""The remedy for what is only read where the user trusts a file."""


@dataclass(frozen=True)
class Source:
    """A file that is read, and what it is to the user: "checkpoint" or "mask file"."""

    path: Path
    kind: str = "checkpoint"

    def __str__(self) -> str:
        return f"The {self.kind} {self.path}"

    def damaged(self, reason: str = "") -> SafsError:
        """Return the error for a file that PyTorch did not write, or not to its end."""
        return SafsError(f"{self} is damaged or no PyTorch checkpoint{reason and ': '}{reason}.")
