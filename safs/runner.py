"""The runner: trials in, outcomes out, each trained once and journalled before anybody learns of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from safs.engines.base import Engine, Finished
from safs.files import write_atomically
from safs.journal import Journal
from safs.observer import Observer
from safs.outcome import Reason, TrialOutcome
from safs.spec import TrialSpec
from safs.storage import StorageError
from safs.strands import Strand, run_strands
from spaces.errors import SafsError


class Runner:
    """Runs trials on an engine and keeps what came of them.

    Args:
        engine: runs the trials.
        journal: holds the outcomes; what it already holds is not run again.
        folder: the run directory, where the networks of trials that keep theirs go.
        observer: is told of every outcome.

    Raises:
        SafsError: if the journal holds a trial that cannot be read.
    """

    def __init__(self, engine: Engine, journal: Journal, folder: Path, observer: Observer) -> None:
        self._engine = engine
        self._journal = journal
        self.folder = folder
        self._observer = observer
        self._running: dict[TrialSpec, tuple[str, int]] = {}
        self._asked: Counter[str] = Counter()
        self._background: set[TrialSpec] = set()
        self._unasked: set[TrialSpec] = set()
        trials = [record for record in journal.records if record["kind"] == "trial"]
        self._outcomes = dict(_read(record) for record in trials)
        # Of trials that ended in an earlier session, which phase asked for them first.
        self._earlier = {record["id"]: record.get("phase") for record in reversed(trials)}

    def knows(self, spec: TrialSpec) -> bool:
        """Return whether a trial has ended before, and its network is there if it was to be kept."""
        outcome = self._outcomes.get(spec.id)
        if outcome is None:
            return False
        return not spec.keep or outcome.cost is None or _is_readable(network_path(self.folder, spec))

    def outcome(self, spec: TrialSpec) -> TrialOutcome:
        """Return the outcome of a trial that has ended."""
        return self._outcomes[spec.id]

    def run(self, phase: str, specs: Sequence[TrialSpec], *, retry: bool = False) -> list[TrialOutcome]:
        """Return the outcomes of trials, in their order; those that are known cost nothing.

        Args:
            phase: the part of the study that asks.
            specs: the trials.
            retry: run a trial again that failed in an earlier session for another reason than its own numbers (out
                of memory, say), and that this phase had asked for first. Not for a search, whose later suggestions
                rest on that failure.
        """
        (outcomes,) = run_strands([self.results(phase, specs, retry=retry)], self)
        return outcomes

    def results(self, phase: str, specs: Sequence[TrialSpec], *, retry: bool = False) -> Strand[list[TrialOutcome]]:
        """Do the same as a strand, beside others."""
        for spec in dict.fromkeys(specs):
            self.start(phase, spec, retry=retry)
        for spec in specs:
            while not self.is_done(spec):
                yield
        return [self._outcomes[spec.id] for spec in specs]

    def start(self, phase: str, spec: TrialSpec, *, retry: bool = False, background: bool = False) -> None:
        """Let a trial run, unless its outcome is known; `run` says what the arguments are.

        Args:
            background: let others go first, whenever they are asked for; nobody is told if the outcome is known.
        """
        self._asked[phase] += 1
        if self.knows(spec) and not (retry and self._may_be_retried(phase, spec)):
            if not background and spec not in self._unasked:
                self._observer.trial(phase, spec, self._outcomes[spec.id], cached=True)
            self._unasked.discard(spec)  # people have been told of it when it ended
        elif spec in self._background and not background:
            self._background.discard(spec)
            self._engine.hurry(spec)
        elif spec not in self._running:
            self._running[spec] = phase, self._asked[phase]
            if background:
                self._background.add(spec)
            self._observer.queued(phase, spec)
            self._engine.submit(spec, background=background)

    def _may_be_retried(self, phase: str, spec: TrialSpec) -> bool:
        """Return whether a trial that this phase had asked for failed in an earlier session, and not by its numbers."""
        return self._earlier.get(spec.id) == phase and self._outcomes[spec.id].reason not in (None, Reason.NAN)

    @property
    def has_room(self) -> bool:
        """Whether one more trial that is not in the background could begin at once."""
        return len(self._running) - len(self._background) < self._engine.room

    @property
    def room(self) -> int:
        """How many trials can run at a time, as things are."""
        return self._engine.room

    def is_done(self, spec: TrialSpec) -> bool:
        """Return whether a trial that was started has ended."""
        return spec not in self._running

    def advance(self) -> None:
        """Wait until any of the trials that were started has ended."""
        try:
            finished = self._engine.poll()
        except StorageError:
            self._running.clear()  # the engine gave the trial up, and says nothing of it any more
            raise
        assert finished is not None, "the engine lost a trial"
        self._commit(finished)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Stop what still runs; what had ended by then is kept."""
        self._engine.cancel()
        if not isinstance(error, StorageError):
            while self._running and (finished := self._engine.poll()) is not None:
                self._commit(finished)

    def _commit(self, finished: Finished) -> None:
        """Store a finished trial: its network first, so that the journal never names one that is not there."""
        spec, outcome = finished.spec, finished.outcome
        phase, number = self._running.pop(spec)
        if spec in self._background:
            self._background.discard(spec)
            self._unasked.add(spec)
        if finished.trained is not None:
            write_atomically(network_path(self.folder, spec), save(finished.trained))
        record = {"kind": "trial", "id": spec.id, "phase": phase, "number": number}
        self._journal.append({**record, "spec": spec.to_json(), "outcome": outcome.to_json()})
        self._outcomes[spec.id] = outcome
        self._earlier.pop(spec.id, None)
        self._observer.trial(phase, spec, outcome, cached=False)


def _read(record: Mapping[str, Any]) -> tuple[str, TrialOutcome]:
    try:
        return str(record["id"]), TrialOutcome.from_json(record["outcome"])
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise SafsError(
            f"The journal's record of trial {record.get('id')} is damaged ({type(error).__name__}: {error}); "
            "restore the file, or start anew in another run directory."
        ) from error


def _is_readable(path: Path) -> bool:
    """Return whether a kept network is there and whole; if not, its trial is run again, and comes to the same."""
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def network_path(folder: Path, spec: TrialSpec) -> Path:
    """Return where the trained network of a trial lies."""
    return folder / "trials" / spec.id / "model.safetensors"
