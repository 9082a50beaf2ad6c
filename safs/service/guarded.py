"""HTTP connections whose requests begin in time and in measure: uvicorn's own take any header, however long or slow."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 65_536
HEADER_S = 20.0
"""How long a request may take until its headers are complete."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection that sends header on header, or a header without an end.

    Its parser joins the pieces of a header in quadratic time, and keeps them all in memory; nobody needs a token for
    that. What counts is what comes without a request, or a part of a body, getting further: also a trailer's fields,
    and a chunk's extensions.
    """

    _idle_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._get_on()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        self._get_on()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._get_on()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._get_on()
        super().on_message_complete()

    def _begin(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _get_on(self) -> None:
        self._idle_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why and close the connection, unless an answer is on its way, which nothing may come between."""
        if self.cycle is None or self.cycle.response_complete:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()
