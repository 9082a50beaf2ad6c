"""The log of one trial: what it trained, the loss of every epoch, how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from safs.outcome import TrialOutcome
from safs.spec import TrialSpec
from safs.storage import storing
from safs.training import Callback


class TrialLog(Callback):
    """Writes `log.txt` of a trial, a line at a time. A trial that runs again starts it anew.

    Raises:
        StorageError: if the disk is full or fails.
    """

    def __init__(self, path: Path, spec: TrialSpec) -> None:
        self._path = path
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what could not be written must not be tried again when the file is closed.
            self._file = path.open("wb", buffering=0)
        self._write(f"trial {spec.id}\nspec {json.dumps(spec.to_json(), ensure_ascii=False)}\n")

    def __enter__(self) -> TrialLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write no more; may be called twice."""
        self._file.close()

    def on_epoch(self, epoch: int, loss: float) -> None:
        self._write(f"epoch {epoch} train_loss {loss:.6f}\n")

    def ended(self, outcome: TrialOutcome) -> None:
        """Write the last lines: status, cost or reason, and a failure's traceback."""
        result = f"cost {outcome.cost:.6f}" if outcome.cost is not None else f"reason {outcome.reason}"
        self._write(f"{outcome.status.value} {result} seconds {outcome.seconds:.1f}\n")
        if outcome.traceback:
            self._write(outcome.traceback)

    def _write(self, text: str) -> None:
        with storing(self._path):
            self._file.write(text.encode())
