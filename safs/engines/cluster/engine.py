"""The Ray engine: trials on the workers of a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safs.config.resources import ResourcesConfig
from safs.engines.base import Engine, Finished
from safs.engines.cluster.capacity import Capacity
from safs.engines.cluster.connection import Connection
from safs.engines.cluster.dispatcher import Dispatcher
from safs.engines.cluster.endings import Endings
from safs.engines.cluster.jobs import Job
from safs.engines.cluster.parcels import Sender
from safs.engines.cluster.staff import Staff, Worker
from safs.engines.cluster.waiting import Waiting
from safs.engines.cluster.watch import LOOK_S, Watch
from safs.engines.cluster.worker import TrialFunction
from safs.observer import Observer
from safs.spec import TrialSpec
from safs.trial import Problem, run_trial
from spaces.errors import SafsError


class RayEngine(Engine):
    """Runs trials on the workers of a Ray cluster, as many at a time as there is room for.

    A worker is a process with its share of cores and of a GPU; it trains one trial after the other. One that dies is
    replaced, and its trial runs again; a trial that runs out of memory runs once more, alone on a whole device; one
    that hangs, or takes too long, is stopped from outside.

    Args:
        resources, log_path, observer: as of every engine.
        trial: runs a trial, on the worker.

    Raises:
        SafsError: if there is no such cluster, or it has no room for a single trial.
    """

    def __init__(
        self,
        resources: ResourcesConfig,
        log_path: Callable[[TrialSpec], Path],
        observer: Observer,
        trial: TrialFunction = run_trial,
    ) -> None:
        self._cluster = Connection(resources.address)
        try:
            self._capacity = Capacity(resources, self._cluster.nodes)
        except BaseException:
            self._cluster.close()
            raise
        self._sender = Sender()
        self._waiting = Waiting()
        self._staff = Staff(trial, observer)
        self._dispatcher = Dispatcher(
            self._waiting,
            self._staff,
            self._capacity,
            leased=not self._cluster.local,
            log_path=log_path,
            observer=observer,
        )
        self._endings = Endings(
            self._waiting, self._staff, self._capacity, self._cluster, log_path=log_path, observer=observer
        )
        self._watch = Watch(
            resources, self._waiting, self._staff, self._capacity, self._cluster, self._endings, observer
        )
        if self.room > self._capacity.most:
            observer.warning(
                f"`resources.workers` is {self.room}, but the cluster has room for {self._capacity.most} as it is."
            )

    @property
    def device(self) -> str:
        return self._capacity.device

    @property
    def room(self) -> int:
        return self._capacity.room

    def add_problem(self, name: str, problem: Problem) -> None:
        with self._cluster.talking():
            self._dispatcher.parcels[name] = self._sender.pack(problem)

    def submit(self, spec: TrialSpec, *, background: bool = False) -> None:
        self._waiting.shared.put(Job(spec), background=background)
        with self._cluster.talking():
            self._allot()

    def hurry(self, spec: TrialSpec) -> None:
        self._waiting.hurry(spec)

    def poll(self) -> Finished | None:
        with self._cluster.talking():
            while not self._endings.ended:
                self._allot()
                if not self._waiting and not self._staff.busy:
                    return None
                self._wait()
                self._watch.look()
            self._allot()
        return self._endings.ended.popleft()

    def cancel(self) -> None:
        self._waiting.clear()
        reachable = self._watch.reachable and self._cluster.alive
        try:
            if reachable:
                self._collect_what_is_ready()
        finally:
            self._waiting.clear()  # what was just found to be lost, too
            for worker in self._staff:
                if worker.run is not None:
                    worker.run.log.close()
                if reachable and self._cluster.alive:
                    with contextlib.suppress(ConnectionError):  # the others are dismissed all the same
                        self._staff.dismiss(worker)
                else:
                    self._staff.forget(worker)

    def _collect_what_is_ready(self) -> None:
        import ray
        from ray.exceptions import RayError

        running = {worker.run.reference: worker for worker in self._staff.busy if worker.run is not None}
        with contextlib.suppress(ConnectionError):
            ready = ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else []
            for reference in ready:
                with contextlib.suppress(SafsError, RayError):  # it has not ended, then
                    self._endings.collect(running[reference])

    def close(self) -> None:
        try:
            self.cancel()
        finally:
            self._cluster.close()

    def _allot(self) -> None:
        self._dispatcher.allot(hire=self._watch.reachable)

    def _wait(self) -> None:
        """Wait a moment for anything to happen, and see to it."""
        import ray

        waiting: dict[Any, tuple[Callable[[Any], None], Any]] = {}
        for worker in self._staff:
            waiting |= self._awaited(worker)
        if not waiting:
            time.sleep(LOOK_S)
            return
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_S)
        for reference in ready:
            see_to, what = waiting[reference]
            see_to(what)

    def _awaited(self, worker: Worker) -> dict[Any, tuple[Callable[[Any], None], Any]]:
        """Return what a worker is expected to say, by reference, with who sees to it."""
        if worker.place is None:
            return {worker.arriving: (self._staff.welcome, worker)}
        if worker.run is None:
            return {}
        awaited: dict[Any, tuple[Callable[[Any], None], Any]] = {worker.run.reference: (self._endings.collect, worker)}
        if worker.run.asked is not None:
            awaited[worker.run.asked] = self._watch.hear, worker.run
        return awaited
