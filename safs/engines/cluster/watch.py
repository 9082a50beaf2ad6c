"""Whether all get on: the head, the nodes, the running trials, and those that wait for a worker."""

from __future__ import annotations

import math
import time

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.capacity import Capacity
from safs.engines.cluster.connection import Connection
from safs.engines.cluster.endings import Endings
from safs.engines.cluster.jobs import Run
from safs.engines.cluster.staff import Staff, Worker
from safs.engines.cluster.waiting import Waiting
from safs.observer import Observer

LOOK_S = 1.0
"""How often the running trials, the nodes and the head are looked at."""
_PATIENCE_S = 30.0
"""How long trials wait for the first worker before people are told."""
_ALONE_S = 600.0
"""How long a trial that is to be alone waits for a whole device: others may never leave one free."""


class Watch:
    """Looks after an engine's trials.

    Args:
        resources: its limits of time.
        waiting, staff, capacity, cluster: the engine's.
        endings: where trials end that are stopped.
        observer: is told when trials wait in vain, and of the epochs of those that run.

    Attributes:
        reachable: whether the cluster answered when it was last looked at.
    """

    def __init__(
        self,
        resources: ResourcesConfig,
        waiting: Waiting,
        staff: Staff,
        capacity: Capacity,
        cluster: Connection,
        endings: Endings,
        observer: Observer,
    ) -> None:
        self._resources = resources
        self._waiting = waiting
        self._staff = staff
        self._capacity = capacity
        self._cluster = cluster
        self._endings = endings
        self._observer = observer
        self.reachable = True
        self._looked = 0.0
        self._staffed = time.monotonic()

    def look(self) -> None:
        """Look around, unless it was done a moment ago.

        Raises:
            ClusterLostError: if the cluster is gone.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        self.reachable = False  # should it be interrupted while it waits for the answer
        self.reachable = self._cluster.answers()
        if not self.reachable:
            return
        self._capacity.look(self._cluster.nodes)
        self._look_for_workers(now)
        for worker in self._staff:
            if worker.run is not None:
                self._look_at(worker, worker.run)

    def hear(self, run: Run) -> None:
        """Take a worker's answer on how its trial gets on."""
        import ray
        from ray.exceptions import RayError

        try:
            run.stalled, epochs = ray.get(run.asked)
        except RayError:
            return  # the worker is gone, and what it ran will say so
        finally:
            run.asked = None
        run.note(epochs, self._observer)

    def _look_for_workers(self, now: float) -> None:
        """See to trials that wait for workers which do not come."""
        if not self._waiting or any(worker.place is not None for worker in self._staff):
            self._staffed = now
        elif self._staffed < now - _PATIENCE_S:
            self._staffed = math.inf  # said once, until there is a worker again
            self._observer.warning(f"Trials wait for a node that has {self._capacity.need} to spare.")
        for worker in self._staff:
            if worker.alone and worker.place is None and now - worker.hired > _ALONE_S:
                self._staff.dismiss(worker)
                while self._waiting.alone:
                    why = f"It found no device of its own: none became free within {_ALONE_S:g} s."
                    self._endings.give_up(self._waiting.alone.take(), why)

    def _look_at(self, worker: Worker, run: Run) -> None:
        import ray

        why = run.overdue(self._resources)
        if why is not None:
            news, _ = ray.wait([run.reference, *([run.asked] if run.asked is not None else [])], timeout=0)
            if not news:  # and not because this process was asleep
                self._endings.stop(worker, why)
        elif run.asked is None:
            run.asked, run.asked_at = worker.actor.progress.remote(), time.monotonic()
