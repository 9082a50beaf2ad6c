"""What becomes of a study whose process has ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from safs.service.states import Reason, State
from safs.service.worker.said import How, Said


@dataclass(frozen=True)
class Outcome:
    """The state that a study goes into, and why.

    Attributes:
        state, reason, message: as they are stored.
        counts: for one that is queued again: whether that counts against it, as it may be the reason itself.
    """

    state: State
    reason: Reason | None = None
    message: str | None = None
    counts: bool = False


LEFT = Outcome(State.QUEUED, None, "Its worker left; it goes on with the next.")
CANCELED = Outcome(State.CANCELED)


def outcome_of(code: int, said: Said | None, stop: Outcome | None, oom_killed: bool) -> Outcome:
    """Return what becomes of a study.

    Args:
        code: the exit code of its process, negative for a signal.
        said: how the process said that it ended.
        stop: why the worker stopped it, if it did.
        oom_killed: whether the system has killed something for want of memory meanwhile.
    """
    if said is not None and said.how is How.OK:
        return Outcome(State.SUCCEEDED)  # even if it was to stop: it had ended before
    if stop is not None:
        return stop
    if said is not None and said.how is How.ERROR:
        return Outcome(State.FAILED, said.reason, said.sentence)
    if said is not None:
        return lost(said.sentence or "It was lost.")
    if code == -signal.SIGKILL and oom_killed:
        return Outcome(State.FAILED, Reason.OOM, "The machine ran out of memory, and the system killed the study.")
    return lost(f"Its process was killed by {_name(-code)}." if code < 0 else f"Its process ended with code {code}.")


def lost(why: str) -> Outcome:
    """Return that a study is queued again, which counts against it."""
    return Outcome(State.QUEUED, None, why, counts=True)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
