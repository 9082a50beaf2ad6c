"""The worker's loop."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable

from safs.service.settings import ServiceSettings
from safs.service.storage.base import Storage
from safs.service.store import leases
from safs.service.store.database import Database
from safs.service.worker.job import GRACE_S, Job
from safs.service.worker.keeper import Held, Keeper
from safs.service.worker.mark import kill_leftover
from safs.service.worker.patience import Patience

_TICK_S = 0.1
_CLAIM_EVERY_S = 1.0
_LEAVE_S = GRACE_S + 6.0
"""How long a worker that is to leave waits for its studies, and for the database to take them back."""


class Worker:
    """Runs studies as long as there are any, a few at a time.

    A database that is away for a while is waited for; studies whose leases run out meanwhile are killed, as another
    worker may have them by then.

    Args:
        database: what is to run.
        storage: where the studies' files are.
        settings: how many at a time, what each may take, and how long a lease lasts.
        name: names this worker, for people.
        say: is told in a line what happens.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        settings: ServiceSettings,
        name: str,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._database = database
        self._storage = storage
        self._settings = settings
        self._name = name
        self._say = say
        self._jobs: dict[Job, Held] = {}
        self._troubles: dict[Job, str | None] = {}
        self._claiming = Patience(_CLAIM_EVERY_S)

    def run(self, leaving: Callable[[], bool]) -> None:
        """Run studies until `leaving` returns True; then stop those that run, and give them back to the queue."""
        with Keeper(self._database, self._name, self._settings.lease_seconds) as keeper:
            self._tidy()
            try:
                while not leaving():
                    self._claim(keeper)
                    self._step(keeper)
                    time.sleep(_TICK_S)
                self._leave(keeper)
            finally:
                for job in self._jobs:
                    job.drop()

    def _tidy(self) -> None:
        """End and remove what lost workers left on this machine."""
        left = list(self._storage.workplaces())  # before it is asked for leases: of those that come later is none here
        if left:
            with Patience().trying(), self._database.reading() as connection:
                held = leases.names(connection)
                for folder in (folder for lease, folder in left if lease not in held):
                    kill_leftover(folder)
                    shutil.rmtree(folder, ignore_errors=True)

    def _claim(self, keeper: Keeper) -> None:
        """Take one more study, if there is room for it."""
        if len(self._jobs) >= self._settings.concurrency or not self._claiming.is_due:
            return
        held = None
        with self._claiming.trying():
            held = keeper.claim()
        if held is not None:
            workplace = self._storage.workplace(held.lease)
            job = Job(held, workplace, self._database, self._settings, self._name)
            self._jobs[job] = held
            self._claiming.hurry()  # more may wait
            self._say(f"{job.study_id} begins")

    def _step(self, keeper: Keeper) -> None:
        for job, held in list(self._jobs.items()):
            over = self._stepped(job)
            self._tell_trouble(job)
            if over:
                del self._jobs[job]
                self._troubles.pop(job, None)
                keeper.release(held)
                self._claiming.hurry()
                self._say(f"{job.study_id} {_ending(job, held)}")

    def _stepped(self, job: Job) -> bool:
        """Let a job go on, and return whether it is over; whatever is wrong with it is no matter of the others."""
        try:
            return job.step()
        except Exception as error:  # noqa: BLE001 - it is told, and ends its study
            self._say(f"{job.study_id} met an error that was not expected\n{traceback.format_exc().rstrip()}")
            job.fail(error)
            return False

    def _tell_trouble(self, job: Job) -> None:
        if job.trouble != self._troubles.get(job):
            self._troubles[job] = job.trouble
            what = (
                f"cannot use the storage, and tries again: {job.trouble}"
                if job.trouble
                else "can use the storage again"
            )
            self._say(f"{job.study_id} {what}")

    def _leave(self, keeper: Keeper) -> None:
        for job in self._jobs:
            job.leave()
        until = time.monotonic() + _LEAVE_S
        while self._jobs and time.monotonic() < until:
            self._step(keeper)
            time.sleep(_TICK_S)


def _ending(job: Job, held: Held) -> str:
    if held.lost or job.outcome is None:
        return "LOST: its lease ran out"
    outcome = job.outcome
    return " ".join(part for part in (outcome.state, outcome.reason, outcome.message) if part)
