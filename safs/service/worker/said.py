"""How a study's process says that it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from safs.journal import HeldError
from safs.service.states import Reason
from safs.storage import FULL, StorageError
from spaces.errors import SafsError, brief

_LOST = 1
"""The exit code of errors by which a study can go on as it is, once its cluster can be used again."""


class How(StrEnum):
    """In which way: finished, not begun because another process runs it, cut off from its cluster, or failed."""

    OK = "ok"
    HELD = "held"
    LOST = "lost"
    ERROR = "error"


@dataclass(frozen=True)
class Said:
    """How it ended: why it failed, the sentence for people; or the summary of what it found, as the API shows it."""

    how: How
    reason: Reason | None = None
    sentence: str | None = None
    summary: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"ended": self.how, "reason": self.reason, "sentence": self.sentence, "summary": self.summary}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Said:
        """Return what `to_json` made."""
        reason = values["reason"]
        how, why = How(values["ended"]), None if reason is None else Reason(reason)
        return cls(how, why, values["sentence"], values["summary"])


def said_of(error: Exception) -> Said:
    """Return what there is to say of an error that ended a study."""
    if isinstance(error, HeldError):
        return Said(How.HELD, None, str(error))
    if isinstance(error, StorageError) and isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
        return Said(How.ERROR, Reason.DISK, str(error))
    if isinstance(error, SafsError):
        lost = error.exit_code == _LOST
        return Said(How.LOST if lost else How.ERROR, Reason.LOST if lost else Reason.ERROR, str(error))
    if isinstance(error, MemoryError):
        return Said(How.ERROR, Reason.OOM, "There was not enough memory for the study.")
    kind = type(error).__name__
    sentence = f"An error that safs did not expect ended it ({kind}: {brief(error)}); its log says where."
    return Said(How.ERROR, Reason.OOM if kind == "OutOfMemoryError" else Reason.ERROR, sentence)
