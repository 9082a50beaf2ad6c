"""Submissions as requests: their texts and bodies, their keys, the limits of who sends them."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from safs.service.scopes import Scope
from tests.safs.service.api.submitting import as_yaml, pretrained, refused, saved, submitted
from tests.safs.service.conftest import eventually, until_its_end


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x07b"}, "name"),
        ({"priority": "high"}, "priority"),
        ({"priority": "101"}, "priority"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": "a\\b"}, "name"),
        ({"priority": "1.5"}, "priority"),
        ({"priority": "9" * 19}, "priority"),
    ],
)
def test_bad_texts(texts, field, client, untouched):
    answer = submitted(client, {}, **texts)
    refused(answer, 422)
    assert answer.json()["field"] == field


def test_a_name_is_only_shown(client):
    study = submitted(client, {}, name="<script>alert(1)< script>").json()
    assert study["name"] == "<script>alert(1)< script>"


PART = b"--x\r\nContent-Disposition: form-data; name=%b\r\n\r\na"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 415),
        (f"multipart/form-data; boundary={'x' * 300}", b"", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        ("multipart/form-data; boundary=x", PART % b"config", 400),
        ("multipart/form-data; boundary=x", PART % b"nobody's" + b"\r\n--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nX: " + b"y" * 10_000 + b"\r\n\r\na\r\n--x--\r\n", 400),
    ],
)
def test_other_bodies(kind, body, status, client, untouched):
    refused(client.post("/v1/studies", content=body, headers={"content-type": kind}), status)


def test_parts_that_are_too_large_or_stand_there_twice(client, server, untouched):
    refused(submitted(client, "x: " + "a" * 70_000), 413)
    with server.client(server.make_token("small", most_bytes=1000)) as small:
        answer = submitted(small, pretrained(), files={"checkpoint": ("x.pt", b"x" * 1001)})
        assert "larger than 1,000 bytes" in refused(answer, 413)
        answer = small.post(
            "/v1/studies", content=b"x" * 10_000_000, headers={"content-type": "multipart/form-data; boundary=x"}
        )
        refused(answer, 413)
    twice = b"".join(b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n' for _ in range(2))
    answer = client.post(
        "/v1/studies", content=twice + b"--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert "twice" in refused(answer)


def test_a_damaged_form_is_said_to_its_sender_alone(client, server, untouched):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/studies", content=b"--going\r\n", headers=headers)
    assert refused(answer) == "The form is damaged: it does not keep to multipart/form-data."
    assert "boundary" not in server.said()


def test_half_an_upload_leaves_nothing(server, client, untouched):
    token = server.make_token("cut off")
    head = (
        f"POST /v1/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="checkpoint"; filename="x"\r\n\r\n'
    )

    def arriving():
        return any(path.name.startswith(".incoming") for path in (server.home / "studies").iterdir())

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"x" * 10_000)
        eventually(arriving)
    eventually(lambda: not arriving())
    assert client.get("/v1/studies").status_code == 200


def test_studies_stand_in_the_order_in_which_their_uploads_ended(server):
    begun, go_on = threading.Event(), threading.Event()
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in (("config", as_yaml({})), ("name", "slow"))
    )

    def body():
        yield parts[:50].encode()
        begun.set()
        assert go_on.wait(60)
        yield f"{parts[50:]}--x--\r\n".encode()

    def send():
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/v1/studies", content=body(), headers=headers).status_code == 201

    with server.client(server.make_token("patient sender")) as client, ThreadPoolExecutor() as pool:
        slow = pool.submit(send)
        assert begun.wait(60)
        assert submitted(client, {}, name="quick").status_code == 201
        go_on.set()
        slow.result()
        found = client.get("/v1/studies").json()["studies"]
    assert [one["name"] for one in found] == ["slow", "quick"]
    assert found[0]["created"] >= found[1]["created"]


def test_idempotency(client, server):
    first = submitted(client, {}, {"Idempotency-Key": "k"}, name="same")
    again = submitted(client, {}, {"Idempotency-Key": "k"}, name="same")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert "another request" in refused(submitted(client, {}, {"Idempotency-Key": "k"}, name="other"), 409)
    for key in ("", "k" * 201, "a\tb"):
        told = refused(submitted(client, {}, {"Idempotency-Key": key}), 422)
        assert told.startswith("An Idempotency-Key is 1 to 200 printable characters of ASCII, but got")
    with server.client(server.make_token("somebody else")) as other:
        assert submitted(other, {}, {"Idempotency-Key": "k"}, name="same").json()["id"] != first.json()["id"]


def test_one_key_with_another_checkpoint_is_another_request(client, pruned):
    def send(content):
        return submitted(client, pretrained(), {"Idempotency-Key": "file"}, {"checkpoint": ("x.pt", content)})

    other = saved(pruned | {"conv1.bias": torch.ones(6)})
    assert [send(saved(pruned)).status_code for _ in range(2)] == [201, 200]
    assert "another request" in refused(send(other), 409)


def test_a_token_may_have_only_so_many_waiting(server):
    with server.client(server.make_token("patient", most_queued=1)) as client:
        assert submitted(client, {}).status_code == 201
        answer = submitted(client, {})
        assert "1 of your studies wait already" in refused(answer, 429)
        assert answer.headers["retry-after"]


def test_who_may_have_no_more_waiting_need_not_send_a_file(server, untouched):
    token = server.make_token("full", most_queued=0)
    head = (
        f"POST /v1/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert until_its_end(connection, b"}").startswith(b"HTTP/1.1 429")


def test_the_share_of_gpus_is_in_the_config_that_runs(server):
    with server.client(server.make_token("no gpus", most_gpus=0.0)) as client:
        study = submitted(client, {}).json()["id"]
        assert "device: cpu" in client.get(f"/v1/studies/{study}/config").text
        cuda = submitted(client, {"resources": {"device": "cuda"}})
        assert "your token may have 0" in refused(cuda)
        assert cuda.json()["field"] == "resources"


def test_who_may_submit(server, untouched):
    with server.client(server.make_token("reader", Scope.READ)) as reader, server.client(None) as nobody:
        assert "scope submit" in refused(submitted(reader, {}), 403)
        answer = submitted(nobody, {})
        assert "A token is needed" in refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("safs_wrong", "x" * 1000):
        with server.client(wrong) as stranger:
            refused(stranger.get("/v1/studies"), 401)
