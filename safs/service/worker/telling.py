"""What a study's process tells its worker: how far it is, at most once a second, and how it ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from safs.progress.phases import journal_name
from safs.progress.tally import Open, Tally
from safs.service.worker.said import How, Said

_PERIOD_S = 1.0


class Telling:
    """Tells over a pipe, one JSON line each; a worker that does not listen keeps nobody from training.

    Args:
        pipe: the descriptor to write to.
        tally: counts what happens in the study.
    """

    def __init__(self, pipe: int, tally: Tally) -> None:
        self._pipe = pipe
        self._tally = tally
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell_progress, name="safs: telling", daemon=True)

    def __enter__(self) -> Telling:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()

    def ended(self, said: Said) -> None:
        """Tell how the study ended, after how far it had come."""
        self._over.set()
        self._thread.join()
        progress = progress_of(self._tally)
        if said.how is How.OK:
            progress = {"phase": "test", "running": [], **(progress or {}), "done": 1.0, "seconds_left": 0.0}
        if progress is not None:
            self._write({"progress": progress})
        self._write(said.to_json())

    def _tell_progress(self) -> None:
        told = None
        while not self._over.wait(_PERIOD_S):
            progress = progress_of(self._tally)
            if progress is not None and progress != told:
                self._write({"progress": progress})
                told = progress

    def _write(self, message: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):  # the worker is gone, and so is this process in a moment
            while line:
                line = line[os.write(self._pipe, line) :]


def progress_of(tally: Tally) -> dict[str, Any] | None:
    """Return how far a study is, as the API shows it but for the number of trials; None before its first trial."""
    with tally.lock:
        running = [trial for trial in tally.open.values() if trial.worker is not None]
        phases = tally.phases.all
        if not running and not any(phase.done for phase in phases):
            return None
        name = next((trial.phase for trial in reversed(running) if trial.phase), None)
        return {
            "phase": name or (journal_name(phases[-1].name) if phases else ""),
            "done": tally.left.fraction() or 0.0,
            "seconds_left": tally.left.seconds(),
            "running": [_running(trial) for trial in running],
        }


def _running(trial: Open) -> dict[str, Any]:
    loss = trial.loss if trial.loss is not None and math.isfinite(trial.loss) else None
    return {
        "id": trial.id,
        "phase": trial.phase,
        "worker": trial.worker,
        "epoch": trial.epoch,
        "epochs": trial.epochs,
        "loss": loss,
    }
