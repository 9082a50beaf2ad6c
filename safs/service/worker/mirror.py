"""The trials in a study's journal, as they come, to be copied into the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Mirror:
    """Follows a journal that another process appends to; a line counts once it is complete.

    Args:
        journal: the file, which may not be there yet.
        stored: how many of its trials the database holds.

    Attributes:
        waiting: the trials that were read and are not stored, in order, as the API shows them.
        stored: how many are.
    """

    def __init__(self, journal: Path, stored: int) -> None:
        self._journal = journal
        self._offset = 0
        self._read = 0
        self.stored = stored
        self.waiting: list[dict[str, Any]] = []

    def read(self, limit: int | None = None) -> None:
        """Read on to the last complete line, of the first `limit` bytes if one is given."""
        try:
            with self._journal.open("rb") as file:
                file.seek(self._offset)
                content = file.read(None if limit is None else max(0, limit - self._offset))
        except FileNotFoundError:
            return
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.split(b"\n")[:-1]:
            trial = _trial(self._read + 1, line)
            if trial is not None:
                self._read += 1
                if self._read > self.stored:
                    self.waiting.append(trial)

    def has_stored(self, trials: int) -> None:
        """Note that the first ones of those that waited are stored now."""
        self.stored += trials
        del self.waiting[:trials]


def _trial(n: int, line: bytes) -> dict[str, Any] | None:
    """Return the trial of a line, or None if it holds none; a damaged line is for the study's process to refuse."""
    try:
        record = json.loads(line)
        return shown_trial(n, record) if record["kind"] == "trial" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def shown_trial(n: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the n-th trial of a journal as the API shows it."""
    spec, outcome = record["spec"], record["outcome"]
    accuracy = outcome["metrics"].get("validation_accuracy")
    return {
        "n": n,
        "id": record["id"],
        "phase": record.get("phase"),
        "status": outcome["status"],
        "reason": outcome["reason"],
        "cost": outcome["cost"],
        "accuracy": None if accuracy is None else 100 * accuracy,
        "seconds": outcome["seconds"],
        "assignment": spec["assignment"],
        "protocol": spec["protocol"],
        "fold": spec["fold"] if spec["folds"] else None,
        "learn": spec["learn"],
        "peak_memory": outcome.get("peak_memory"),
    }
