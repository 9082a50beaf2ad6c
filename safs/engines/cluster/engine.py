"""The Ray engine: hands trials to workers, and knows what to do when one fails them."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from safs.config.resources import ResourcesConfig
from safs.engines.base import Engine, Finished
from safs.engines.cluster.capacity import check_room, need, nodes, room, whole_device
from safs.engines.cluster.connection import Connection
from safs.engines.cluster.jobs import Job, Run
from safs.engines.cluster.parcels import Parcel, Sender
from safs.engines.cluster.staff import Staff, Worker
from safs.engines.cluster.worker import TrialFunction
from safs.engines.queue import TrialQueue
from safs.observer import Observer
from safs.outcome import Reason, TrialOutcome
from safs.spec import TrialSpec
from safs.trial import Problem, run_trial
from safs.trial_log import TrialLog
from spaces.errors import SafsError, brief

MOST_DEATHS = 3
"""After so many workers that died under it, a trial has failed (LOST): it is likely to be the reason."""
MOST_NODE_LOSSES = 20
"""The same for nodes that were lost, which is hardly ever a trial's doing."""
_MOST_FALSE_STARTS = 10
_LOOK_S = 1.0
"""How often the running trials, the nodes and the head are looked at."""
_PATIENCE_S = 30.0
"""How long trials wait for the first worker before people are told."""
_ALONE_S = 600.0
"""How long a trial that is to be alone waits for a whole device: others may never leave one free."""
_IDLE_S = 10.0
_LEASE_S = 300.0
"""On a cluster of others' a worker is given back after so long without work, and after so long with it: then it queues
again behind those who wait."""


class WorkersDoNotStartError(SafsError):
    """The cluster's workers cannot be used: what was finished is kept, and the study can be resumed."""

    exit_code = 1


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
        super().__init__(resources, log_path, observer)
        self._parcels: dict[str, Parcel] = {}
        self._queue: TrialQueue[Job] = TrialQueue()
        self._exclusive: deque[Job] = deque()
        self._staff = Staff(trial)
        self._ended: deque[Finished] = deque()
        self._looked = 0.0
        self._reachable = True
        self._false_starts = 0
        self._staffed = time.monotonic()
        self._cluster = Connection(resources.address)
        try:
            self._nodes = nodes()
            self._need = need(resources, self._nodes)
            check_room(self._need, self._nodes)
            self._say_if_too_many()
        except BaseException:
            self._cluster.close()
            raise
        self._sender = Sender()

    def _say_if_too_many(self) -> None:
        there = sum(node.room(self._need) for node in self._nodes)
        if self.room > there:
            self._observer.warning(
                f"`resources.workers` is {self.room}, but the cluster has room for {there} as it is."
            )

    @property
    def device(self) -> str:
        if not self._need.gpus:
            return "cpu"
        return ", ".join(sorted({node.kind for node in self._nodes if node.room(self._need)})) or "cuda"

    @property
    def room(self) -> int:
        return room(self._resources, self._need, self._nodes)

    def add_problem(self, name: str, problem: Problem) -> None:
        with self._cluster.talking():
            self._parcels[name] = self._sender.pack(problem)

    def submit(self, spec: TrialSpec, *, background: bool = False) -> None:
        self._queue.put(Job(spec), background=background)
        with self._cluster.talking():
            self._allot()

    def hurry(self, spec: TrialSpec) -> None:
        self._queue.hurry(lambda job: job.spec == spec)

    def poll(self) -> Finished | None:
        with self._cluster.talking():
            while not self._ended:
                self._allot()
                if not self._jobs:
                    return None
                self._wait()
                self._look()
            self._allot()
        return self._ended.popleft()

    def cancel(self) -> None:
        import ray
        from ray.exceptions import RayError

        self._queue.clear()
        self._exclusive.clear()
        running = {worker.run.reference: worker for worker in self._staff.busy if worker.run is not None}
        try:
            if running and self._cluster.alive:
                ready, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
                for reference in ready:
                    with contextlib.suppress(SafsError, RayError, ConnectionError):  # it has not ended, then
                        self._collect(running[reference])
        finally:
            self._queue.clear()  # what was just found to be lost, too
            self._exclusive.clear()
            for worker in self._staff:
                if self._cluster.alive:
                    self._staff.dismiss(worker)
                else:
                    self._staff.forget(worker)
                if worker.run is not None:
                    worker.run.log.close()

    def close(self) -> None:
        try:
            self.cancel()
        finally:
            self._cluster.close()

    @property
    def _jobs(self) -> int:
        """How many trials are queued or running."""
        return len(self._queue) + len(self._exclusive) + len(self._staff.busy)

    # Who runs what

    def _allot(self) -> None:
        """Give trials to workers that are idle, and see that there are as many workers as are of use."""
        if self._exclusive and self._reachable:
            self._make_room()
        for worker in self._staff:
            jobs = self._exclusive if worker.alone else self._queue
            if worker.idle and jobs and (worker.alone or not self._awaited) and self._is_there(worker):
                self._begin(worker, self._exclusive.popleft() if worker.alone else self._queue.take())
        if self._reachable and not self._awaited:
            ordinary = [worker for worker in self._staff if not worker.alone]
            useful = min(self.room, len(self._queue) + sum(worker.run is not None for worker in ordinary))
            for _ in range(useful - len(ordinary)):
                self._staff.hire(self._need)

    def _make_room(self) -> None:
        """Let ordinary workers go as they become idle until one that has a device to itself is there."""
        whole = whole_device(self._need, self._nodes)
        for worker in self._staff:
            if worker.alone and worker.place is None and worker.need != whole:  # the node that it was to get has left
                self._staff.dismiss(worker)
        if not any(worker.alone for worker in self._staff):
            self._staff.hire(whole, alone=True)
        if self._awaited:
            for worker in self._staff:
                if not worker.alone and worker.run is None:
                    self._staff.dismiss(worker)

    @property
    def _awaited(self) -> bool:
        """Whether a worker with a device to itself has been asked for and is not there yet."""
        return any(worker.alone and worker.place is None for worker in self._staff)

    def _is_there(self, worker: Worker) -> bool:
        """Return whether an idle worker still lives; one that does not is let go, and no trial is to blame."""
        import ray
        from ray.exceptions import RayError

        try:
            ray.get(worker.actor.progress.remote(), timeout=_LOOK_S)
        except RayError:
            self._staff.dismiss(worker)
            return False
        return True

    def _begin(self, worker: Worker, job: Job) -> None:
        spec = job.spec
        log = TrialLog(self._log_path(spec), spec)
        reference = worker.actor.run.remote(spec, self._parcels.get(spec.network))
        worker.run = Run(job, reference, log)
        self._observer.started(spec, str(worker.place))

    # What comes of it

    def _wait(self) -> None:
        """Wait a moment for anything to happen, and see to it."""
        import ray

        waiting: dict[Any, Worker] = {}
        for worker in self._staff:
            if worker.place is None:
                waiting[worker.arriving] = worker
            if worker.run is not None:
                waiting[worker.run.reference] = worker
                if worker.run.asked is not None:
                    waiting[worker.run.asked] = worker
        if not waiting:
            time.sleep(_LOOK_S)
            return
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK_S)
        for reference in ready:
            worker = waiting[reference]
            if worker.run is not None and reference == worker.run.reference:
                self._collect(worker)
            elif worker.run is not None and reference == worker.run.asked:
                self._hear(worker.run)
            else:
                self._welcome(worker)

    def _welcome(self, worker: Worker) -> None:
        import ray
        from ray.exceptions import RayActorError, RayError, RayTaskError

        try:
            worker.place = ray.get(worker.arriving)
        except RayError as error:
            self._staff.dismiss(worker)
            self._false_starts += 1
            broken = isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed)
            if broken or self._false_starts >= _MOST_FALSE_STARTS:
                cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
                raise WorkersDoNotStartError(f"Ray's workers do not start: {cause}") from error
            return
        worker.rested = time.monotonic()
        self._false_starts = 0

    def _collect(self, worker: Worker) -> None:
        """Take what a worker's trial came to, or see what happened to the worker."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

        run = worker.run
        assert run is not None, "it was busy"
        try:
            outcome, trained, epochs = ray.get(run.reference)
        except RayTaskError as error:  # `run_trial` raises nothing: the trial could not even begin
            self._staff.dismiss(worker)
            raise SafsError(f"Worker {worker.place} cannot run trials: {brief(error.cause)}") from error
        except OutOfMemoryError as error:
            self._staff.dismiss(worker)
            self._out_of_memory(run, run.failure(Reason.OOM, str(error)))
        except RayError as error:
            self._lost(worker, run, error)
        else:
            run.note(epochs, self._observer)
            self._rest(worker, outcome)
            if outcome.reason is Reason.OOM:
                self._out_of_memory(run, outcome)
            else:
                self._end(run, outcome, trained)

    def _rest(self, worker: Worker, outcome: TrialOutcome) -> None:
        """Free a worker, or let it go: after its turn, or if the failure may have broken its GPU's context."""
        worker.run = None
        worker.rested = time.monotonic()
        over = not self._cluster.local and worker.rested - worker.hired > _LEASE_S
        broken = self._need.gpus and outcome.reason in (Reason.ERROR, Reason.OOM)
        if (worker.alone and not self._exclusive) or over or broken:
            self._staff.dismiss(worker)

    def _out_of_memory(self, run: Run, outcome: TrialOutcome) -> None:
        if run.job.failure is not None:
            self._end(run, outcome, None)
            return
        run.job.failure = outcome
        self._exclusive.append(run.job)
        self._interrupt(run, "out of memory; it runs once more, alone on a whole device")

    def _lost(self, worker: Worker, run: Run, error: Exception) -> None:
        from ray.exceptions import ActorUnavailableError, NodeDiedError

        self._staff.dismiss(worker)
        if self._cluster.answers():
            self._nodes = nodes()
        assert worker.place is not None, "it was busy"
        job = run.job
        # A node's end is known by the connections that break before the cluster knows that it has left.
        gone = worker.place.node not in {node.id for node in self._nodes}
        if gone or isinstance(error, ActorUnavailableError | NodeDiedError) or "node has died" in str(error):
            job.node_losses += 1
        else:
            job.deaths += 1
        if job.deaths >= MOST_DEATHS or job.node_losses >= MOST_NODE_LOSSES:
            self._end(run, run.failure(Reason.LOST, str(error)), None)
            return
        (self._queue.put_back if job.failure is None else self._exclusive.appendleft)(job)
        self._interrupt(run, f"its worker {worker.place} was lost; it runs again")

    def _interrupt(self, run: Run, reason: str) -> None:
        run.log.close()
        self._observer.lost(run.job.spec, reason)

    def _end(self, run: Run, outcome: TrialOutcome, trained: dict[str, Tensor] | None) -> None:
        with run.log:
            run.log.ended(outcome)
        self._ended.append(Finished(run.job.spec, outcome, trained))

    # Whether they get on

    def _look(self) -> None:
        """Look, every now and then, at the head, the nodes, and how each trial gets on."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        self._reachable = self._cluster.answers()
        if not self._reachable:
            return
        self._nodes = nodes()
        self._look_for_workers(now)
        for worker in self._staff:
            if worker.run is not None:
                self._watch(worker, worker.run)
            elif worker.idle and not self._cluster.local and now - worker.rested > _IDLE_S:
                self._staff.dismiss(worker)

    def _look_for_workers(self, now: float) -> None:
        """See to trials that wait for workers which do not come."""
        if not self._jobs or any(worker.place is not None for worker in self._staff):
            self._staffed = now
        elif self._staffed < now - _PATIENCE_S:
            self._staffed = math.inf  # said once, until there is a worker again
            self._observer.warning(f"Trials wait for a node that has {self._need} to spare.")
        for worker in self._staff:
            if worker.alone and worker.place is None and now - worker.hired > _ALONE_S and self._exclusive:
                self._staff.dismiss(worker)
                job = self._exclusive.popleft()
                assert job.failure is not None, "it is to be alone because it ran out of memory"
                why = f"{job.failure.traceback}\nIt found no device of its own within {_ALONE_S:g} s.\n"
                outcome = replace(job.failure, traceback=why)
                with TrialLog(self._log_path(job.spec), job.spec) as log:
                    log.ended(outcome)
                self._ended.append(Finished(job.spec, outcome, None))

    def _watch(self, worker: Worker, run: Run) -> None:
        import ray

        why = run.overdue(self._resources)
        if why is not None:
            news, _ = ray.wait([run.reference, *([run.asked] if run.asked is not None else [])], timeout=0)
            if not news:  # and not because this process was asleep
                self._staff.dismiss(worker)
                self._end(run, run.failure(Reason.TIMEOUT, why), None)
        elif run.asked is None:
            run.asked, run.asked_at = worker.actor.progress.remote(), time.monotonic()

    def _hear(self, run: Run) -> None:
        import ray
        from ray.exceptions import RayError

        try:
            run.stalled, epochs = ray.get(run.asked)
        except RayError:
            return  # the worker is gone, and what it ran will say so
        finally:
            run.asked = None
        run.note(epochs, self._observer)
