"""The inline engine: one trial after the other, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from safs.engines.base import Engine, Finished
from safs.spec import TrialSpec
from safs.trial import run_trial
from safs.trial_log import TrialLog


class InlineEngine(Engine):
    """Runs a trial when its outcome is asked for, in the order of submission."""

    def __init__(self, log_path: Callable[[TrialSpec], Path]) -> None:
        super().__init__(log_path)
        self._queue: deque[TrialSpec] = deque()

    def submit(self, spec: TrialSpec) -> None:
        self._queue.append(spec)

    def poll(self) -> Finished | None:
        if not self._queue:
            return None
        spec = self._queue.popleft()
        with TrialLog(self._log_path(spec), spec) as log:
            outcome, trained = run_trial(spec, self._problems[spec.network], [log])
            log.ended(outcome)
        return Finished(spec, outcome, trained)

    def close(self) -> None:
        self._queue.clear()
        self._problems.clear()
