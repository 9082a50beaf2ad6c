"""Requests that never get as far as a token: headers without an end, and connections that say nothing."""

import socket
import threading
import time

import pytest
import uvicorn

from benchmarks.service_server import free_port
from safs.service import guarded
from safs.service.guarded import MOST_HEADER_BYTES, GuardedProtocol
from tests.safs.service.conftest import eventually, until_its_end


async def echo(scope, receive, send):
    """Answer with the length of the body, once all of it is there."""
    length, more = 0, True
    while more and (message := await receive())["type"] == "http.request":
        length, more = length + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"%10d" % length})


@pytest.fixture
def address():
    """Where a server answers that has nothing but the protocol."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(echo, port=port, http=GuardedProtocol, ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    yield "127.0.0.1", port
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def connected(address):
    with socket.create_connection(address, timeout=20) as connection:
        yield connection


def everything(connection):
    """Return what a server says until it closes the connection."""
    said = b""
    while piece := connection.recv(65_536):
        said += piece
    return said


def send_without_end(connection, piece):
    """Send a piece again and again until the server has enough of it, and return what it said and how much it took."""
    taken = 0
    try:
        while taken < 100 * MOST_HEADER_BYTES:
            connection.sendall(piece)
            taken += len(piece)
            time.sleep(0.001)
    except OSError:
        pass
    try:
        return everything(connection), taken
    except ConnectionResetError:  # with what it had not read yet, its answer is lost
        return b"", taken


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nx: ", b"x" * 4096),
        (b"GET / HTTP/1.1\r\n", b"name: value\r\n" * 300),
        (b"GET /", b"x" * 4096),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", b"name: value\r\n" * 300),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;", b"x" * 4096),
    ],
    ids=["a header", "headers", "a path", "a trailer", "a chunk's extension"],
)
def test_what_has_no_end_is_ended(start, piece, connected):
    connected.sendall(start)
    said, taken = send_without_end(connected, piece)
    assert said.startswith(b"HTTP/1.1 4") or said == b""
    assert taken < 20 * MOST_HEADER_BYTES  # what lies in the buffers of the system counts, too


def test_long_headers_that_end_are_read(connected):
    connected.sendall(b"GET / HTTP/1.1\r\nconnection: close\r\nx: " + b"x" * 60_000 + b"\r\n\r\n")
    assert everything(connected).startswith(b"HTTP/1.1 200")


def test_a_long_body_is_no_header_and_many_requests_share_a_connection(connected):
    body = b"x" * (5 * MOST_HEADER_BYTES)
    request = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n" % len(body)
    for last in (False, False, True):
        connected.sendall(request + (b"connection: close\r\n" if last else b"") + b"\r\n")
        connected.sendall(body)
        if not last:
            assert until_its_end(connected, b"    327680").startswith(b"HTTP/1.1 200")
    assert everything(connected).endswith(b"    327680")


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nx: y"])
def test_whoever_does_not_ask_in_time_is_let_go(start, address, monkeypatch):
    monkeypatch.setattr(guarded, "HEADER_S", 0.3)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(start)
        assert everything(connection).startswith(b"HTTP/1.1 408")


def test_whoever_asks_in_time_may_take_longer_over_the_body(address, monkeypatch):
    monkeypatch.setattr(guarded, "HEADER_S", 0.3)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(0.2)
            connection.sendall(b"x")
        assert everything(connection).endswith(b"         4")
