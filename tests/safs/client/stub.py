"""A real HTTP server that answers as it is told, also badly, and keeps what it was asked."""

import json
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

ID = "0193aaaabbbbccccddddeeee"
TOKEN = "safs_secret"


def study(state="RUNNING", **more):
    """Return a study as the service tells it, with a key that nobody knows."""
    return {"id": ID, "name": "first", "state": state, "priority": 0, "from_the_future": [1]} | more


@dataclass
class Request:
    method: str
    path: str
    query: list
    headers: object
    body: bytes


def answer(value=b"", status=200, **headers):
    """Answer with bytes, or with a value as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"

    def reply(handler, request):
        _head(handler, status, {"Content-Type": kind, "Content-Length": len(body)} | headers)
        handler.wfile.write(body)

    return reply


def problem(status, detail, **headers):
    """Answer with an error as the service does."""
    return answer({"type": "about:blank", "status": status, "detail": detail}, status, **headers)


def logged(text, following, complete=False):
    """Answer with a piece of a log, and where the next one begins."""
    return answer(text.encode(), X_Next_Offset=following, X_Complete=str(complete).lower())


def half(body, sent, **headers):
    """Announce a body, send a part of it and hang up."""

    def reply(handler, request):
        _head(handler, 200, {"Content-Length": len(body)} | headers)
        handler.wfile.write(body[:sent])
        drop(handler, request)

    return reply


def drop(handler, request):
    """Hang up."""
    handler.close_connection = True
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def slow(seconds):
    """Answer nothing for so long, and then hang up."""

    def reply(handler, request):
        time.sleep(seconds)
        drop(handler, request)

    return reply


def ranges(body, etag='"v1"'):
    """Answer with a file, or what is left of it."""

    def reply(handler, request):
        headers = {"ETag": etag}
        start = 0
        if request.headers.get("If-Range") == etag:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        _head(handler, 206 if start else 200, headers | {"Content-Length": len(body) - start})
        handler.wfile.write(body[start:])

    return reply


def events(*lines, cut=False):
    """Send events, given as (id, type, data), and end the stream, or break it off."""

    def reply(handler, request):
        _head(handler, 200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for id, kind, data in lines:
            text = f": heartbeat\n\n{f'id: {id}' if id else ': no id'}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            handler.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        if cut:
            drop(handler, request)
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def _head(handler, status, headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


class Stub:
    """The server. Its answers to a path come one after the other; the last one stays."""

    def __init__(self):
        self.requests = []
        self.keeps_bodies = True
        self._answers = defaultdict(list)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *request: None  # clients hang up, too
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def on(self, path, *answers, method="GET"):
        """Set the answers to a path below /v1."""
        self._answers[method, f"/v1{path}"] = list(answers)

    def asked(self, path, method="GET"):
        """Return the requests to a path below /v1."""
        return [request for request in self.requests if (request.method, request.path) == (method, f"/v1{path}")]

    def _read(self, file, length):
        if self.keeps_bodies:
            return file.read(length)
        while length:
            length -= len(file.read(min(length, 1 << 16)))
        return b""

    def _handler(stub):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                parts = urlsplit(self.path)
                body = stub._read(self.rfile, int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, parts.path, parse_qsl(parts.query), self.headers, body)
                stub.requests.append(request)
                answers = stub._answers[self.command, parts.path]
                reply = (
                    answers.pop(0) if len(answers) > 1 else (answers or [problem(404, "There is no such thing.")])[0]
                )
                reply(self, request)

            do_GET = do_POST = do_DELETE = handle_one

            def log_message(self, *arguments):
                pass

        return Handler
