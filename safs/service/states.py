"""The states of a study in the service, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from spaces.errors import SafsError


class State(StrEnum):
    """Where a study stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Reason(StrEnum):
    """Why a study failed."""

    OOM = "OOM"
    TIMEOUT = "TIMEOUT"
    DISK = "DISK"
    LOST = "LOST"
    ERROR = "ERROR"


FOLLOWS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELED}),
    # A worker that is lost, or leaves, gives its study back to the queue.
    State.RUNNING: frozenset({State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELED: frozenset({State.QUEUED}),
}
ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})


class StateError(SafsError):
    """A change of state that must not be."""


def check_transition(before: State, after: State) -> None:
    """Raise StateError if a study in the state `before` must not go into `after`."""
    if after not in FOLLOWS[before]:
        choices = ", ".join(sorted(FOLLOWS[before])) or "nothing"
        raise StateError(f"A study that is {before} can become {choices}, but not {after}.")
