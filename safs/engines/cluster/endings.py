"""What runs come to, and what is done about those that came to nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from safs.engines.base import Finished
from safs.engines.cluster.capacity import Capacity
from safs.engines.cluster.connection import Connection
from safs.engines.cluster.jobs import Job, Run
from safs.engines.cluster.staff import Staff, Worker, WorkersUnusableError
from safs.engines.cluster.waiting import Waiting
from safs.observer import Observer
from safs.outcome import Reason, Status, TrialOutcome
from safs.spec import TrialSpec
from safs.trial_log import TrialLog
from spaces.errors import brief

if TYPE_CHECKING:
    from ray.exceptions import RayTaskError

MOST_DEATHS = 3
"""After so many workers that died under it, a trial has failed (LOST): it is likely to be the reason."""
MOST_NODE_LOSSES = 20
"""The same for nodes that were lost, which is hardly ever a trial's doing."""
_MOST_REFUSALS = 10
"""So many trials in a row that could not begin, and the fault is not theirs."""


class Endings:
    """Takes what a run came to; one that was lost, or ran out of memory, is put back to run again.

    Args:
        waiting: where jobs go that run again.
        staff: the workers.
        capacity: what the cluster has room for.
        cluster: the connection to it.
        log_path: where the log of a trial goes.
        observer: is told of runs that came to nothing.

    Attributes:
        ended: trials that have ended, for the engine to hand out.
    """

    def __init__(
        self,
        waiting: Waiting,
        staff: Staff,
        capacity: Capacity,
        cluster: Connection,
        *,
        log_path: Callable[[TrialSpec], Path],
        observer: Observer,
    ) -> None:
        self._waiting = waiting
        self._staff = staff
        self._capacity = capacity
        self._cluster = cluster
        self._log_path = log_path
        self._observer = observer
        self._refused = 0
        self._collected = 0
        self.ended: deque[Finished] = deque()

    def collect(self, worker: Worker) -> None:
        """Take what a worker's trial came to, or see what happened to the worker.

        Raises:
            WorkersUnusableError: if again and again no worker can run a trial.
            ClusterLostError: if the cluster is gone.
        """
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

        run = worker.run
        assert run is not None, "it was busy"
        try:
            outcome, trained, epochs = ray.get(run.reference)
        except RayTaskError as error:  # `run_trial` raises nothing: the trial could not begin, or not end
            self._refuse(worker, run, error)
        except OutOfMemoryError as error:
            self._staff.dismiss(worker)
            self._out_of_memory(worker, run, run.failure(Reason.OOM, str(error)))
        except RayError as error:
            self._lost(worker, run, error)
        else:
            self._refused = 0
            self._collected += 1
            run.note(epochs, self._observer)
            self._rest(worker, outcome)
            if outcome.reason is Reason.OOM:
                self._out_of_memory(worker, run, outcome)
            else:
                self._end(run, outcome, trained)

    def stop(self, worker: Worker, why: str) -> None:
        """Stop a worker's trial from outside, which ends it."""
        run = worker.run
        assert run is not None, "it was busy"
        self._staff.dismiss(worker)
        self._end(run, run.failure(Reason.TIMEOUT, why), None)

    def give_up(self, job: Job, why: str) -> None:
        """End a trial that is to be alone on a device, and cannot be."""
        failure = job.failure or TrialOutcome(Status.FAILED, reason=Reason.LOST, traceback="Its workers died.")
        outcome = replace(failure, traceback=f"{failure.traceback}\n{why}\n")
        with TrialLog(self._log_path(job.spec), job.spec) as log:
            log.ended(outcome)
        self.ended.append(Finished(job.spec, outcome, None))

    def _rest(self, worker: Worker, outcome: TrialOutcome) -> None:
        """Free a worker, or let it go if the failure may have broken its GPU's context."""
        worker.run = None
        worker.rested = time.monotonic()
        if self._capacity.need.gpus and outcome.reason in (Reason.ERROR, Reason.OOM):
            self._staff.dismiss(worker)

    def _out_of_memory(self, worker: Worker, run: Run, outcome: TrialOutcome) -> None:
        if run.job.failure is not None:
            self._end(run, outcome, None)
            return
        run.job.failure = outcome
        run.job.failed_on = worker.place
        self._again(run, "out of memory; it runs once more, alone on a whole device")

    def _refuse(self, worker: Worker, run: Run, error: RayTaskError) -> None:
        """Let a trial run again that a worker could not run; it is to blame only if others have ended meanwhile."""
        job = run.job
        job.refusals += 1
        self._refused += 1
        if job.refusals == 1:
            job.refused_after = self._collected
        self._staff.dismiss(worker)
        if job.refusals >= MOST_DEATHS and self._collected > job.refused_after:
            self._end(run, run.failure(Reason.LOST, str(error)), None)
            return
        self._again(run, f"worker {worker.place} cannot run it: {brief(error.cause)}; it runs again")
        if self._refused >= _MOST_REFUSALS:
            raise WorkersUnusableError(f"Worker {worker.place} cannot run trials: {brief(error.cause)}") from error

    def _lost(self, worker: Worker, run: Run, error: Exception) -> None:
        from ray.exceptions import ActorUnavailableError, NodeDiedError

        self._staff.dismiss(worker)
        try:
            if self._cluster.answers():
                self._capacity.look(self._cluster.nodes)
        except BaseException:
            run.log.close()
            raise
        assert worker.place is not None, "it was busy"
        job = run.job
        # A node's end is known by the connections that break before the cluster knows that it has left.
        gone = not self._capacity.has(worker.place.node)
        if gone or isinstance(error, ActorUnavailableError | NodeDiedError) or "node has died" in str(error):
            job.node_losses += 1
        else:
            job.deaths += 1
        if job.deaths >= MOST_DEATHS or job.node_losses >= MOST_NODE_LOSSES:
            self._end(run, run.failure(Reason.LOST, str(error)), None)
        else:
            job.failed_on = worker.place
            self._again(run, f"its worker {worker.place} was lost; it runs again")

    def _again(self, run: Run, reason: str) -> None:
        job = run.job
        # The system kills what takes too much memory, and does not say so: the last try after deaths is alone.
        alone = job.failure is not None or job.deaths == MOST_DEATHS - 1
        alone = alone and self._capacity.need != self._capacity.whole_device
        (self._waiting.alone if alone else self._waiting.shared).put_back(job)
        run.log.close()
        self._observer.lost(job.spec, reason)

    def _end(self, run: Run, outcome: TrialOutcome, trained: dict[str, Tensor] | None) -> None:
        with run.log:
            run.log.ended(outcome)
        self.ended.append(Finished(run.job.spec, outcome, trained))
