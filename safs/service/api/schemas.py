"""What the API answers, for its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from safs.service.states import State
from safs.service.store.studies import Study

_STUDY: dict[str, Any] = {
    "id": "1a2006f2c0d2f0aa71b3c9d4",
    "name": "first",
    "state": "RUNNING",
    "reason": None,
    "message": None,
    "cancelling": False,
    "priority": 0,
    "owner": "me",
    "created": "2026-11-21T22:18:56.123Z",
    "started": "2026-11-21T22:18:57.456Z",
    "ended": None,
    "attempts": 1,
    "model": "lenet5",
    "data": "mnist",
    "searcher": "surrogate",
    "checkpoint": {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "bytes": 179382},
    "progress": {"phase": "stage1", "done": 0.41, "seconds_left": 95.0, "trials": 31, "running": []},
    "summary": None,
}
_TRIAL: dict[str, Any] = {
    "n": 31,
    "id": "0123456789abcdef",
    "phase": "stage1",
    "status": "SUCCEEDED",
    "reason": None,
    "cost": 0.4182,
    "accuracy": None,
    "seconds": 2.7,
    "assignment": ["srs", "relu", "tanh", "srs"],
    "protocol": {"epochs": 3, "lr": 0.1, "optimizer": "sgd"},
    "fold": None,
    "learn": False,
    "peak_memory": 413_138_944,
}
_ARTIFACT: dict[str, Any] = {"path": "best/model.safetensors", "size": 179_382, "modified": "2026-11-21T22:41:03.120Z"}
_ME: dict[str, Any] = {
    "name": "me",
    "scope": "submit",
    "limits": {"queued": 20, "upload_bytes": 2_147_483_648, "gpus": None},
}


class Progress(BaseModel):
    """How far a study is: `done` in [0, 1]."""

    model_config = ConfigDict(extra="allow")

    phase: str
    done: float
    seconds_left: float | None
    trials: int
    running: list[dict[str, Any]]


class StudyAnswer(BaseModel):
    """A study."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STUDY]})

    id: str
    name: str
    state: State
    reason: str | None
    message: str | None
    cancelling: bool
    priority: int
    owner: str
    created: str
    started: str | None
    ended: str | None
    attempts: int
    model: str
    data: str
    searcher: str
    checkpoint: dict[str, Any] | None
    progress: Progress | None
    summary: dict[str, Any] | None = None


class StudiesAnswer(BaseModel):
    """A page of studies, newest first; `next` is the `after` of the next page."""

    studies: list[StudyAnswer]
    next: str | None


class TrialAnswer(BaseModel):
    """A trial that has ended."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_TRIAL]})

    n: int
    id: str
    phase: str
    status: str
    reason: str | None
    cost: float | None
    seconds: float | None


class TrialsAnswer(BaseModel):
    """A page of trials, oldest first."""

    trials: list[TrialAnswer]
    next: int | None


class ArtifactAnswer(BaseModel):
    """A file that a study has made: its path, its size in bytes, when it changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ARTIFACT]})

    path: str
    size: int
    modified: str


class ArtifactsAnswer(BaseModel):
    """The files of a study."""

    artifacts: list[ArtifactAnswer]


class LimitsAnswer(BaseModel):
    """What a token may have: studies that wait, bytes of an upload, GPUs at a time."""

    queued: int
    upload_bytes: int
    gpus: float | None


class MeAnswer(BaseModel):
    """Who asks."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ME]})

    name: str
    scope: str
    limits: LimitsAnswer


def answered(model: type[BaseModel], values: Mapping[str, Any]) -> Response:
    """Return values as the JSON of a model, made here and now: FastAPI would have another thread look at them first."""
    return Response(model.model_validate(values).model_dump_json(), media_type="application/json")


def shown(study: Study) -> dict[str, Any]:
    """Return a study as the API shows it."""
    return {
        "id": study.id,
        "name": study.name,
        "state": study.state,
        "reason": study.reason,
        "message": study.message,
        "cancelling": study.cancelling,
        "priority": study.priority,
        "owner": study.owner,
        "created": iso(study.created),
        "started": iso(study.started),
        "ended": iso(study.ended),
        "attempts": study.attempts,
        "model": study.model,
        "data": study.data,
        "searcher": study.searcher,
        "checkpoint": _checkpoint(study.checkpoint),
        "progress": study.progress,
        "summary": study.summary,
    }


def iso(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _checkpoint(upload: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {"sha256": upload["sha256"], "bytes": upload["bytes"]} if upload else None
