"""Uploads that take their time: counted, given up, refused to whoever lost the right meanwhile."""

import asyncio
import contextlib
import errno
import logging
import socket

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from safs.service.api import uploads
from safs.service.api.app import make_app
from safs.service.api.problems import Problem
from safs.service.api.under_way import UnderWay
from safs.service.settings import ServiceSettings
from safs.service.storage.local import LocalStorage
from safs.service.store import tokens
from safs.service.store.database import Database
from safs.service.store.submissions import LimitError
from tests.safs.service.conftest import eventually, until_its_end

HEAD = (
    "POST /v1/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    '--x\r\nContent-Disposition: form-data; name="checkpoint"; filename="x"\r\n\r\n'
)


@pytest.fixture
def begin(server):
    """Begins an upload that does not go on, and returns its connection."""
    with contextlib.ExitStack() as stack:

        def make(token):
            there = len(arriving(server))
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(HEAD.format(token=token).encode() + b"x" * 10_000)
            return connection, lambda: len(arriving(server)) == there + 1

        yield make
    eventually(lambda: not arriving(server))


def arriving(server):
    return [path for path in (server.home / "studies").iterdir() if path.name.startswith(".incoming")]


def test_uploads_under_way_are_counted(server, begin):
    token = server.make_token("two at a time", most_queued=2)
    for _ in range(2):
        _, there = begin(token)
        eventually(there)
    third, _ = begin(token)
    answer = until_its_end(third, b"}")
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"2 of your uploads are under way already, and 2 may; try again later." in answer
    _, there = begin(server.make_token("somebody else, two at a time"))
    eventually(there)


def test_one_that_is_sent_again_does_not_count_twice():
    under_way = UnderWay()
    with under_way.one_more(1, "a", 1):
        with under_way.one_more(1, "a", 1), under_way.one_more(2, None, 0):
            for key in ("a", "b", None):
                with pytest.raises(LimitError, match="of your uploads"), under_way.one_more(1, key, 1):
                    pass
        for key in ("b", None):
            with pytest.raises(LimitError, match="1 of your uploads"), under_way.one_more(1, key, 1):
                pass
    with under_way.one_more(1, None, 1), pytest.raises(LimitError), under_way.one_more(1, None, 1):
        pass
    with under_way.one_more(1, "b", 1):
        pass


def test_a_token_that_is_revoked_in_the_middle_of_an_upload_submits_nothing(server, tiny_config):
    token = server.make_token("evil")

    def body():
        yield f'--x\r\nContent-Disposition: form-data; name="config"\r\n\r\n{tiny_config}'.encode()
        eventually(lambda: arriving(server))
        with server.database.writing() as connection:
            tokens.revoke(connection, "evil")
        yield b"\r\n--x--\r\n"

    before = sorted((server.home / "studies").iterdir())
    with server.client(token) as client:
        answer = client.post("/v1/studies", content=body(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "This token was revoked.")
    assert sorted((server.home / "studies").iterdir()) == before


def test_an_upload_of_which_nothing_comes_any_more_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(uploads, "STALLED_S", 0.2)
    pieces = [b"--x\r\n", b'Content-Disposition: form-data; name="checkpoint"\r\n\r\n', b"abc"]

    async def receive():
        await asyncio.sleep(0.1 if pieces else 60)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
    with pytest.raises(Problem, match=r"Nothing of the upload has come for 0\.2 seconds") as given_up:
        asyncio.run(uploads.receive(Request(scope, receive), tmp_path, 1000))
    assert (given_up.value.status, given_up.value.headers) == (408, {"Connection": "close"})
    assert pieces == []


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 503)])
def test_a_full_disk_is_called_that_and_is_in_the_log(number, status, tmp_path, tiny_config, monkeypatch, caplog):
    database, storage = Database.in_folder(tmp_path), LocalStorage(tmp_path / "studies")
    database.migrate()
    with database.writing() as connection:
        token = tokens.create(connection, "me", tokens.Scope.SUBMIT)

    def incoming():
        raise OSError(number, "what the system says")

    monkeypatch.setattr(storage, "incoming", incoming)
    monkeypatch.setattr("safs.service.api.app.Admission", lambda limits, *, runs_here: None)  # nothing comes so far
    app = make_app(ServiceSettings(), database, storage)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client, caplog.at_level(logging.ERROR):
        answer = client.post("/v1/studies", files={"config": (None, tiny_config)})
    assert answer.status_code == status
    assert ("is full" in answer.json()["detail"]) == (status == 507)
    assert "The storage cannot be used: what the system says" in caplog.text
    database.close()
