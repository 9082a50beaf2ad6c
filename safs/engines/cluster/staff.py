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
        hired, rested: when it was asked for, and when it had nothing to do last (`time.monotonic`).
    """

    actor: Any
    need: Need
    alone: bool
    arriving: Any
    place: Place | None = None
    run: Run | None = None
    hired: float = field(default_factory=time.monotonic)
    rested: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        """Whether it is there and has nothing to do."""
        return self.place is not None and self.run is None


class Staff:
    """The workers of one engine.

    Args:
        trial: runs trials, on the workers.
    """

    def __init__(self, trial: TrialFunction) -> None:
        self._trial = trial
        self._workers: list[Worker] = []

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers))

    @property
    def busy(self) -> list[Worker]:
        """Those that run a trial."""
        return [worker for worker in self._workers if worker.run is not None]

    def hire(self, need: Need, *, alone: bool = False) -> None:
        """Ask for a worker; Ray starts it as soon as there is room."""
        import ray

        reserved: Any = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_concurrency": 2}
        kind = ray.remote(**reserved)(TrialWorker)
        actor: Any = kind.remote(
            [entry for entry in sys.path if entry], "cuda" if need.gpus else "cpu", need.gpus or 1.0
        )
        self._workers.append(Worker(actor, need, alone, actor.prepare.remote(self._trial)))

    def forget(self, worker: Worker) -> None:
        """Take a worker off the list that is out of reach."""
        self._workers.remove(worker)

    def dismiss(self, worker: Worker) -> None:
        """Kill a worker, whatever it is doing; its device's memory is given back with its process."""
        import ray

        self.forget(worker)
        ray.kill(worker.actor, no_restart=True)
