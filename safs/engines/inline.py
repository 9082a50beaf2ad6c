"""The inline engine: one trial after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safs.config.resources import ResourcesConfig
from safs.device import device_name, pick_device
from safs.engines.base import Engine, Finished
from safs.engines.queue import TrialQueue
from safs.observer import Observer
from safs.spec import TrialSpec
from safs.training import Callback
from safs.trial import Problem, run_trial
from safs.trial_log import TrialLog


class InlineEngine(Engine):
    """Runs a trial when its outcome is asked for, in the order of submission."""

    def __init__(self, resources: ResourcesConfig, log_path: Callable[[TrialSpec], Path], observer: Observer) -> None:
        self._resources = resources
        self._log_path = log_path
        self._observer = observer
        self._problems: dict[str, Problem] = {}
        self._queue: TrialQueue[TrialSpec] = TrialQueue()

    @property
    def device(self) -> str:
        return device_name(pick_device(self._resources.device))

    @property
    def room(self) -> int:
        return 1

    def add_problem(self, name: str, problem: Problem) -> None:
        self._problems[name] = problem

    def submit(self, spec: TrialSpec, *, background: bool = False) -> None:
        self._queue.put(spec, background=background)

    def hurry(self, spec: TrialSpec) -> None:
        self._queue.hurry(lambda queued: queued == spec)

    def poll(self) -> Finished | None:
        if not self._queue:
            return None
        spec = self._queue.take()
        with TrialLog(self._log_path(spec), spec) as log:
            self._observer.started(spec, "here")
            outcome, trained = run_trial(spec, self._problems[spec.network], [log, _Told(spec, self._observer)])
            log.ended(outcome)
        return Finished(spec, outcome, trained)

    def cancel(self) -> None:
        self._queue.clear()

    def close(self) -> None:
        self.cancel()
        self._problems.clear()


class _Told(Callback):
    """Tells an observer of every epoch."""

    def __init__(self, spec: TrialSpec, observer: Observer) -> None:
        self._spec = spec
        self._observer = observer

    def on_epoch(self, epoch: int, loss: float) -> None:
        self._observer.epoch(self._spec, epoch, loss)
