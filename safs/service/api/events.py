"""The events of a study as a stream of server-sent events (the WHATWG's)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from safs.service.api.auth import Reader
from safs.service.api.context import Service, Serving
from safs.service.api.parameters import LaterThan, StudyId
from safs.service.api.problems import documented
from safs.service.api.studies import find
from safs.service.states import ENDED, State
from safs.service.store import events, studies, tokens
from safs.service.store.events import Event
from safs.service.store.studies import Study
from safs.service.store.tokens import Token

router = APIRouter(prefix="/v1", tags=["events"])

_HEARTBEAT_S = 15.0
_LOOK_S = 1.0
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Only of those that are stored: state and trial."},
        "event": {"type": "string", "enum": ["state", "trial", "progress", "log"]},
        "data": {"type": "string", "description": "JSON: a state, a trial, a progress, or how long the log is."},
    },
    "example": {"id": "527", "event": "state", "data": '{"state": "RUNNING", "reason": null, "message": null}'},
}
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": _EVENT}}}}


@router.get(
    "/studies/{id}/events", response_class=StreamingResponse, responses=_STREAM | documented(401, 404, 422, 503)
)
async def follow(
    id: StudyId,
    request: Request,
    service: Serving,
    token: Reader,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    last_event_id: LaterThan = "",
) -> StreamingResponse:
    """Follow a study: `state` and `trial` events, numbered; `progress` and `log`, which are not stored.

    The stream ends when the study has.
    """
    await asyncio.to_thread(find, service, token, id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _stream(service, token, id, int(last_event_id) if last_event_id else after)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(service: Service, token: Token, id: str, last: int) -> AsyncIterator[bytes]:
    progress: Mapping[str, Any] | None = None
    log_size, said = -1, time.monotonic()
    async with service.feed.following(id) as follower:
        while not service.feed.closed:
            study, news = await asyncio.to_thread(_look, service, token, id, last)
            size = await asyncio.to_thread(_log_size, service, study) if study is not None else log_size
            parts = [_message(event.kind, event.data, event.id) for event in news]
            if study is not None and study.progress is not None and study.progress != progress:
                progress = study.progress
                parts.append(_message("progress", progress))
            if size != log_size:
                log_size = size
                parts.append(_message("log", {"offset": size}))
            if not parts and time.monotonic() - said > _HEARTBEAT_S:
                parts.append(b": still there\n\n")
            if parts:
                said = time.monotonic()
                yield b"".join(parts)
            last = news[-1].id if news else last
            if study is None or (study.state in ENDED and not news):
                return
            if not news:
                await follower.wait(_LOOK_S if study.state is State.RUNNING else _HEARTBEAT_S)


def _look(service: Service, token: Token, id: str, last: int) -> tuple[Study | None, list[Event]]:
    """Return a study and its next events; for a token that was revoked meanwhile there is none."""
    with service.database.reading() as connection:
        if not tokens.is_good(connection, token.id):
            return None, []
        return studies.get(connection, id), events.since(connection, last, study_id=id)


def _log_size(service: Service, study: Study) -> int:
    log = service.storage.files(study.id, study.files).log()
    return log.size if log is not None else 0


def _message(kind: str, data: Mapping[str, Any], number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
