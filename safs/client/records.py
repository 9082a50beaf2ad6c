"""What the service tells, as records. Keys that are not known here are left out: a newer server may have more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from safs.service.states import ENDED


@dataclass(frozen=True)
class Record:
    """What is made of a JSON object by its keys."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the record; TypeError or KeyError if it is not one."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


@dataclass(frozen=True)
class Running(Record):
    """A trial that is under way."""

    id: str
    phase: str = ""
    worker: str | None = None
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class Progress(Record):
    """How far a study is: `done` in [0, 1], `trials` that have ended, those that are `running`."""

    phase: str
    done: float | None = None
    seconds_left: float | None = None
    trials: int = 0
    running: tuple[Running, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        running = tuple(Running.from_json(trial) for trial in values.get("running") or ())
        return super().from_json({**values, "running": running})


@dataclass(frozen=True)
class Study(Record):
    """A study of the service. Times are ISO 8601 in UTC.

    Attributes:
        reason, message: why it failed.
        cancelling: whether it is asked to stop and still runs.
        attempts: how often a worker has begun or taken it over.
        checkpoint: `{"sha256", "bytes"}` of the one that was uploaded.
        progress: how far it is; None before its first trial.
        summary: the table of baselines, `{"rows": [...]}`; in a single study that succeeded.
    """

    id: str
    state: str
    name: str = ""
    reason: str | None = None
    message: str | None = None
    cancelling: bool = False
    priority: int = 0
    owner: str | None = None
    created: str | None = None
    started: str | None = None
    ended: str | None = None
    attempts: int = 0
    model: str | None = None
    data: str | None = None
    searcher: str | None = None
    checkpoint: Mapping[str, Any] | None = None
    progress: Progress | None = None
    summary: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        progress = values.get("progress")
        return super().from_json({**values, "progress": Progress.from_json(progress) if progress else None})

    @property
    def has_ended(self) -> bool:
        """Whether it will not go on by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class Trial(Record):
    """A trial that has ended; `n` counts them from 1."""

    n: int
    id: str
    phase: str
    status: str
    reason: str | None = None
    cost: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
    assignment: tuple[str, ...] | None = None
    protocol: Mapping[str, Any] | None = None
    fold: int | None = None
    learn: bool = False
    peak_memory: int | None = None


@dataclass(frozen=True)
class Artifact(Record):
    """A file of a study. Its path is the server's word: `download` checks it."""

    path: str
    size: int
    modified: str | None = None


@dataclass(frozen=True)
class LogPart:
    """A piece of a log.

    Attributes:
        content: its bytes, which may end within a character.
        next: the offset of what comes after it.
        complete: whether the study has ended and nothing comes after it.
    """

    content: bytes
    next: int
    complete: bool


@dataclass(frozen=True)
class Event:
    """One event of a study.

    Attributes:
        type: state, trial, progress or log.
        data: its JSON.
        id: of the last event until now that the service keeps.
    """

    type: str
    data: Any
    id: str = ""
