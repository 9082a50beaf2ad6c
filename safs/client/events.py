"""The events of a study, as one stream however often the connection is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx2

from safs.client.connection import Connection
from safs.client.errors import ServiceError, Unreachable
from safs.client.patience import FOLLOWING
from safs.client.records import Event, Study

_SILENCE = 45.0
"""Seconds without a byte after which a connection is dead: the server sends a heartbeat every 15."""


def follow_events(connection: Connection, path: str, study: Callable[[], Study], after: str | None) -> Iterator[Event]:
    """Yield events until the study has ended.

    Only the server knows which event is the last, as a study may be resumed after it failed; it ends the stream then.

    Args:
        connection: to the service.
        path: of the stream.
        study: returns the study as it is now.
        after: the id of the last event that is known, or None for all.

    Raises:
        ServiceError, Unreachable: after so many failures without an event in between.
    """
    patience = connection.patience(FOLLOWING)
    last = after or ""
    while True:
        try:
            for event in _connected(connection, path, last):
                patience.gained()
                last = event.id or last
                yield event
            if study().has_ended:
                return
            raise Unreachable(connection.server, "it has ended the stream of events")
        except (ServiceError, Unreachable) as error:
            patience.after(error)


def _connected(connection: Connection, path: str, last: str) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    timeout = httpx2.Timeout(_SILENCE, connect=10.0)
    with connection.stream("GET", path, headers=headers, timeout=timeout) as response:
        for event in httpx2.EventSource(response):
            try:
                data = json.loads(event.data) if event.data else None
            except ValueError:
                raise ServiceError(f"{connection.server} sent an event that is no JSON.", 502) from None
            yield Event(event.event, data, event.id)
