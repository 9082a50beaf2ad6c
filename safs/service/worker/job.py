"""A study that this worker runs: begun, watched, copied into the database, ended. It never waits for long."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from safs.service.settings import ServiceSettings
from safs.service.states import Reason, State
from safs.service.storage.layout import JOURNAL, LOG
from safs.service.storage.workplace import GoneError, Workplace
from safs.service.store.database import Database
from safs.service.worker.carrying import Carrying
from safs.service.worker.copying import Copying
from safs.service.worker.keeper import Held
from safs.service.worker.ledger import Ledger
from safs.service.worker.limits import Watch
from safs.service.worker.mark import kill_leftover, leave_mark, remove_mark
from safs.service.worker.oom import oom_kills
from safs.service.worker.outcome import CANCELED, LEFT, Outcome, lost, outcome_of
from safs.service.worker.patience import Patience
from safs.service.worker.process import StudyProcess
from safs.service.worker.said import How
from safs.storage import FULL
from spaces.errors import brief

GRACE_S = 30.0
"""How long a study may take to stop before it is killed."""
_STORE_EVERY_S = 1.0
_RETRY_S = 2.0
_HELD_S = 60.0
"""How often, and how long, a study is tried again that another process still runs: of a lost worker, elsewhere."""


class Job:
    """Runs one leased study; `step` is called again and again until it returns True.

    Args:
        held: the lease.
        workplace: where it runs.
        database: the database.
        settings: what the study may take, among others.
        worker: names this worker in the study's log.

    Attributes:
        study_id: which study.
        outcome: what became of it, once that is known.
    """

    def __init__(
        self, held: Held, workplace: Workplace, database: Database, settings: ServiceSettings, worker: str
    ) -> None:
        self.study_id = held.lease.study_id
        self.outcome: Outcome | None = None
        self._held = held
        self._folder = workplace.folder
        self._ledger = Ledger(database, held.lease)
        self._carrying = Carrying(workplace)
        self._copying = Copying(workplace.folder / JOURNAL, self._ledger)
        self._settings = settings
        self._worker = worker
        self._storing = Patience(_STORE_EVERY_S)
        self._progress: Mapping[str, Any] | None = None
        self._summary: Mapping[str, Any] | None = None
        self._process: StudyProcess | None = None
        self._watch: Watch | None = None
        self._oom_kills = 0
        self._leaving = False
        self._failing = False
        self._stop: Outcome | None = None
        self._kill_at = 0.0
        self._begin_at = time.monotonic()
        self._give_up_at = self._begin_at + _HELD_S

    @property
    def trouble(self) -> str | None:
        """What is wrong with the storage, or None."""
        return self._carrying.trouble

    def leave(self) -> None:
        """Stop the study and give it back to the queue."""
        self._leaving = True

    def step(self) -> bool:
        """Do what there is to do, and return whether the job is over."""
        if not self._held.lost and self.outcome is None:
            if self._process is None:
                self._begin()
            else:
                self._look_after(self._process)
        if self._held.lost:  # the study may be another worker's: nothing more is written
            self.drop()
            return True
        if not self._failing:
            self._carrying.step()
        if self._storing.is_due:
            with self._storing.trying():
                return self._store_failure() if self._failing else self._store()
        return False

    def fail(self, error: Exception) -> None:
        """Have the study fail, after an error in `step` that nobody expected; drop it if even that fails."""
        if self._failing:
            self._held.lose()
        self._failing = True
        why = f"Its worker met an error that safs did not expect ({type(error).__name__}: {brief(error)})"
        self.outcome = Outcome(State.FAILED, Reason.ERROR, f"{why}; what the worker said tells where.")

    def drop(self) -> None:
        """Kill the study's process, if it runs, and store nothing."""
        if self._process is not None:
            self._close(self._process)
        self._carrying.close()

    def _begin(self) -> None:
        """Start the process, once its files are ready and nothing of an earlier one is left."""
        if (why := self._reason_to_stop()) is not None:
            self._end(why)
        elif not self._carrying.is_open:
            try:
                self._carrying.open(self._ledger.is_held, kill_leftover)
            except GoneError as error:
                self._end(Outcome(State.FAILED, Reason.ERROR, str(error)))
        elif time.monotonic() >= self._begin_at and not self._held.lost:
            try:
                self._start()
            except OSError as error:
                said = f"Its process could not be started ({error.strerror or error})."
                self._end(Outcome(State.FAILED, Reason.DISK, said) if error.errno in FULL else lost(said))

    def _start(self) -> None:
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, on {self._worker}\n")
        self._oom_kills = oom_kills()
        process = self._process = StudyProcess(self._folder, self._settings.niceness)
        self._held.when_lost(process.kill)
        try:
            leave_mark(self._folder, process.pid)
        except OSError:
            self._close(process)
            raise
        self._watch = Watch(self._settings.limits, process.pid, self._folder)

    def _look_after(self, process: StudyProcess) -> None:
        code = process.poll()
        self._progress = process.progress
        if code is not None:
            self._ended(process, code)
        elif self._stop is not None:
            if time.monotonic() >= self._kill_at:
                process.kill()
        elif (why := self._reason_to_stop()) is not None:
            self._stop = why
            self._kill_at = time.monotonic() + GRACE_S
            if why.reason is Reason.OOM:  # before the whole machine is short of memory
                process.kill()
            else:
                process.interrupt()

    def _reason_to_stop(self) -> Outcome | None:
        if self._held.cancelling:
            return CANCELED
        if self._leaving:
            return LEFT
        return self._watch.exceeded() if self._watch is not None else None

    def _ended(self, process: StudyProcess, code: int) -> None:
        self._close(process)
        said = process.said
        if said is not None and said.how is How.HELD and self._stop is None and time.monotonic() < self._give_up_at:
            self._begin_at = time.monotonic() + _RETRY_S
            return
        self._summary = said.summary if said is not None else None
        self._end(outcome_of(code, said, self._stop, oom_kills() > self._oom_kills))

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._carrying.finish()

    def _close(self, process: StudyProcess) -> None:
        self._process, self._watch = None, None
        self._held.forget()  # its number may soon be another's
        process.close()
        remove_mark(self._folder, process.pid)

    def _store(self) -> bool:
        """Copy what is new into the database, and at the end what became of the study; return whether it is the end.

        That it ended is stored when all that it made is.
        """
        carried, ready = self._carrying.carried, self._carrying.is_complete or not self._carrying.is_open
        held = self._copying.catch_up(self._progress, carried)
        if held:
            self._carrying.stored(carried)
        if held and self.outcome is not None and ready:
            self.outcome = self._ledger.end(self.outcome, self._summary)
            held = self.outcome is not None
        if not held:
            self._held.lose()
        if not held or self.outcome is None or not ready:
            return False
        self._carrying.close()
        return True

    def _store_failure(self) -> bool:
        """Store only that the study failed: nobody knows what is wrong with the rest. Return whether that was done."""
        assert self.outcome is not None, "it fails"
        if self._process is not None:
            self._close(self._process)
        if self._ledger.end(self.outcome, None) is None:
            self._held.lose()
            return False
        self._carrying.close()
        return True
