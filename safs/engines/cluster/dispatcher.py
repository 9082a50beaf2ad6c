"""Who runs what: gives jobs to workers, and keeps as many workers as are of use."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from safs.engines.cluster.capacity import Capacity
from safs.engines.cluster.clearing import clearing
from safs.engines.cluster.jobs import Job, Run
from safs.engines.cluster.parcels import Parcel
from safs.engines.cluster.staff import Staff, Worker
from safs.engines.cluster.waiting import Waiting
from safs.observer import Observer
from safs.spec import TrialSpec
from safs.trial_log import TrialLog

_IDLE_S = 10.0
_LEASE_S = 300.0
"""On a cluster of others' a worker is given back after so long without work, and when it has been there for so long:
then it queues again behind those who wait."""


class Dispatcher:
    """Hires workers, gives them jobs, and lets them go.

    Args:
        waiting: the jobs.
        staff: the workers.
        capacity: what the cluster has room for.
        leased: whether workers are given back to others every now and then.
        log_path: where the log of a trial goes.
        observer: is told which trials begin.

    Attributes:
        parcels: the problems of the trials, by name.
    """

    def __init__(
        self,
        waiting: Waiting,
        staff: Staff,
        capacity: Capacity,
        *,
        leased: bool,
        log_path: Callable[[TrialSpec], Path],
        observer: Observer,
    ) -> None:
        self._waiting = waiting
        self._staff = staff
        self._capacity = capacity
        self._leased = leased
        self._log_path = log_path
        self._observer = observer
        self.parcels: dict[str, Parcel] = {}

    def allot(self, *, hire: bool) -> None:
        """Give jobs to idle workers, and let those go that are of no use.

        Args:
            hire: whether to hire workers, too; not while the cluster does not answer.
        """
        self._let_go()
        hire = hire and self._staff.may_hire
        making_room = hire and bool(self._waiting.alone) and self._make_room()
        for worker in self._staff:
            jobs = self._waiting.alone if worker.alone else self._waiting.shared
            if worker.idle and jobs and self._staff.is_there(worker):
                self._begin(worker, jobs.take())
        if hire and not making_room:
            self._hire()

    def _let_go(self) -> None:
        now = time.monotonic()
        for worker in self._staff:
            if worker.idle:
                served = worker.alone and not self._waiting.alone
                over = self._leased and (now - worker.arrived > _LEASE_S or now - worker.rested > _IDLE_S)
                if served or over:
                    self._staff.dismiss(worker)

    def _make_room(self) -> bool:
        """Ask for a worker that has a device to itself; until it is there, let others go that are in its way.

        Those are the idle ones on what is being freed, and those that have not come yet: they would take that room.

        Returns:
            Whether it is still to come.
        """
        whole = self._capacity.whole_device
        alone = next((worker for worker in self._staff if worker.alone), None)
        if alone is not None and alone.place is None and alone.need != whole:  # the node that it was to get has left
            self._staff.dismiss(alone)
            alone = None
        if alone is None:
            alone = self._staff.hire(whole, alone=True)
        if alone.place is not None:
            return False
        freed = clearing(alone, self._waiting.alone.first.failed_on, self._capacity)
        for worker in self._staff:
            if not worker.alone and (worker.place is None or (worker.idle and freed.is_in(worker))):
                self._staff.dismiss(worker)
        return True

    def _hire(self) -> None:
        """Hire as many ordinary workers as there are jobs and room for."""
        ordinary = [worker for worker in self._staff if not worker.alone]
        jobs = len(self._waiting.shared) + sum(worker.run is not None for worker in ordinary)
        for _ in range(min(self._capacity.room, jobs) - len(ordinary)):
            self._staff.hire(self._capacity.need)

    def _begin(self, worker: Worker, job: Job) -> None:
        spec = job.spec
        log = TrialLog(self._log_path(spec), spec)
        try:
            reference = worker.actor.run.remote(spec, self.parcels.get(spec.network))
        except BaseException:
            log.close()
            raise
        worker.run = Run(job, reference, log)
        self._observer.started(spec, str(worker.place))
