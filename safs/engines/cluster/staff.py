"""The workers of an engine: hired as there are trials for them, and let go when they are idle."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from safs.engines.cluster.capacity import Need
from safs.engines.cluster.jobs import Run
from safs.engines.cluster.worker import Place, TrialFunction, TrialWorker
from safs.observer import Observer
from safs.versions import training_versions
from spaces.errors import SafsError

_MOST_FALSE_STARTS = 10
_ANSWER_S = 0.2
_SILENCE_S = 30.0
"""How long an idle worker is waited for to say that it is there, each time that there is a trial for it, and in all."""
_PAUSE_S = 30.0
"""How long nobody is hired after a worker could not start."""


@dataclass(eq=False)
class Worker:
    """A worker, from when it is asked for.

    Attributes:
        actor: Ray's handle.
        need: what it reserves.
        alone: whether it has a whole device.
        arriving: a reference to where it runs, until that is known.
        place: where it runs.
        run: what it is busy with.
        hired, arrived, rested: when it was asked for, when it was there, and when it had nothing to do last
            (`time.monotonic`).
        asked, asked_at: a reference to its answer whether it is there, while it is idle, and since when it is awaited.
    """

    actor: Any
    need: Need
    alone: bool
    arriving: Any
    place: Place | None = None
    run: Run | None = None
    hired: float = field(default_factory=time.monotonic)
    arrived: float = 0.0
    rested: float = 0.0
    asked: Any = None
    asked_at: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether it is there and has nothing to do."""
        return self.place is not None and self.run is None


class WorkersUnusableError(SafsError):
    """The cluster's workers cannot be used: what was finished is kept, and the study can be resumed."""

    exit_code = 1


class Staff:
    """The workers of one engine.

    Args:
        trial: runs trials, on the workers.
        observer: is told of workers that do not start.
    """

    def __init__(self, trial: TrialFunction, observer: Observer) -> None:
        import ray

        self._observer = observer
        self._trial = trial
        self._versions = training_versions()
        self._kind: Any = ray.remote(TrialWorker)
        self._workers: list[Worker] = []
        self._false_starts = 0
        self._any_arrived = False
        self._warned: set[str] = set()
        self._hires_again = 0.0

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers))

    @property
    def busy(self) -> list[Worker]:
        """Those that run a trial."""
        return [worker for worker in self._workers if worker.run is not None]

    def hire(self, need: Need, *, alone: bool = False) -> Worker:
        """Ask for a worker; Ray starts it as soon as there is room."""
        path = [entry for entry in sys.path if entry]
        kind = self._kind.options(num_cpus=need.cpus, num_gpus=need.gpus, max_concurrency=2)
        actor = kind.remote(path, "cuda" if need.gpus else "cpu", need.gpus or 1.0)
        worker = Worker(actor, need, alone, actor.prepare.remote(self._trial, self._versions))
        self._workers.append(worker)
        return worker

    @property
    def may_hire(self) -> bool:
        """Whether to hire: not for a while after a worker could not start, as the next may come to that node, too."""
        return time.monotonic() >= self._hires_again

    @property
    def _anybody(self) -> bool:
        return any(worker.place is not None for worker in self._workers)

    def welcome(self, worker: Worker) -> None:
        """Note where a worker is that has arrived, or let it go if it did not.

        Raises:
            WorkersUnusableError: if it never will, and no other has or is to come, or nobody comes, again and again.
        """
        import ray
        from ray.exceptions import RayActorError, RayError, RayTaskError

        try:
            worker.place = ray.get(worker.arriving)
        except RayError as error:
            self.dismiss(worker)
            self._false_starts += 1
            broken = isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed)
            cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
            hopeless = broken and not self._any_arrived and not self._workers
            if hopeless or (self._false_starts >= _MOST_FALSE_STARTS and not self._anybody):
                raise WorkersUnusableError(f"Ray's workers do not start: {cause}") from error
            if broken:  # one node of several
                self._hires_again = time.monotonic() + _PAUSE_S
                if cause not in self._warned:
                    self._warned.add(cause)
                    self._observer.warning(f"A worker did not start: {cause}")
            return
        worker.arrived = worker.rested = time.monotonic()
        self._false_starts = 0
        self._any_arrived = True

    def is_there(self, worker: Worker) -> bool:
        """Return whether an idle worker answers; one that has died, or is silent for long, is let go.

        No trial is to blame for that.
        """
        import ray
        from ray.exceptions import RayError

        if worker.asked is None:
            worker.asked, worker.asked_at = worker.actor.progress.remote(), time.monotonic()
        answered, _ = ray.wait([worker.asked], timeout=_ANSWER_S)
        if not answered:
            if time.monotonic() - worker.asked_at > _SILENCE_S:
                self.dismiss(worker)
                self._observer.warning(f"Worker {worker.place} does not answer; another is to take its place.")
            return False
        try:
            ray.get(worker.asked)
        except RayError:
            self.dismiss(worker)
            return False
        worker.asked = None
        return True

    def forget(self, worker: Worker) -> None:
        """Take a worker off the list that is out of reach."""
        self._workers.remove(worker)

    def dismiss(self, worker: Worker) -> None:
        """Kill a worker, whatever it is doing; its device's memory is given back with its process."""
        import ray

        self.forget(worker)
        ray.kill(worker.actor, no_restart=True)
