import tracemalloc
from email import message_from_bytes

import pytest

from safs.client import ServiceError
from spaces.errors import SafsError
from tests.safs.client.stub import answer, drop, problem, study

LIMITS = answer({"limits": {"upload_bytes": 1000}})


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "pruned.pt"
    file.write_bytes(bytes(range(256)))
    return file


def parts(request):
    """Return the parts of a form: name, file name, content."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    return [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in message_from_bytes(head + request.body).get_payload()
    ]


def test_each_attempt_sends_the_whole_form_with_the_same_key(stub, client, weights):
    stub.on("/me", LIMITS)
    stub.on("/studies", drop, problem(503, "Soon."), answer(study("QUEUED"), 201), method="POST")
    assert client.submit("model: lenet5\n", checkpoint=weights, mask=weights, name="é", priority=-3).state == "QUEUED"
    asked = stub.asked("/studies", "POST")
    expected = [
        ("config", None, b"model: lenet5\n"),
        ("priority", None, b"-3"),
        ("name", None, "é".encode()),
        ("checkpoint", "checkpoint.pt", weights.read_bytes()),
        ("mask", "mask.pt", weights.read_bytes()),
    ]
    assert [parts(request) for request in asked] == [expected] * 3
    (key,) = {request.headers["Idempotency-Key"] for request in asked}
    assert len(key) == 32


def test_another_submission_has_another_key(stub, client):
    stub.on("/studies", answer(study("QUEUED"), 201), method="POST")
    client.submit("a: b")
    client.submit("a: b")
    client.submit("a: b", key="mine")
    keys = [request.headers["Idempotency-Key"] for request in stub.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
    assert parts(stub.requests[0]) == [("config", None, b"a: b"), ("priority", None, b"0")]


def test_a_refusal_is_not_sent_again(stub, client):
    stub.on("/studies", problem(422, "stage1.iteration: unknown key"), method="POST")
    with pytest.raises(ServiceError, match="unknown key"):
        client.submit("a: b")
    assert len(stub.requests) == 1


def test_what_is_too_large_or_not_allowed_is_known_before_it_is_sent(stub, client, weights):
    stub.on("/me", problem(401, "The token is not known."), answer({"limits": {"upload_bytes": 255}}))
    with pytest.raises(ServiceError, match="not known"):
        client.submit("a: b", checkpoint=weights)
    with pytest.raises(SafsError, match=r"checkpoint.*256 bytes.*at most 255"):
        client.submit("a: b", checkpoint=weights)
    assert stub.asked("/studies", "POST") == []


def test_the_limit_is_that_of_each_file(stub, client, weights, tmp_path):
    stub.on("/me", answer({"limits": {"upload_bytes": 256}}))
    stub.on("/studies", answer(study("QUEUED"), 201), method="POST")
    assert client.submit("a: b", checkpoint=weights, mask=weights).state == "QUEUED"
    large = tmp_path / "mask.pt"
    large.write_bytes(bytes(257))
    with pytest.raises(SafsError, match=r"The mask .*mask.pt has 257 bytes"):
        client.submit("a: b", checkpoint=weights, mask=large)


def test_a_missing_file_is_one_sentence(stub, client, tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(SafsError, match="There is no checkpoint at"):
            client.submit("a: b", checkpoint=path)
    assert stub.requests == []


def test_an_upload_is_not_held_in_memory(stub, client, tmp_path):
    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    stub.on("/me", answer({"limits": {}}))
    stub.on("/studies", answer(study("QUEUED"), 201), method="POST")
    stub.keeps_bodies = False
    tracemalloc.start()
    client.submit("a: b", checkpoint=large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("key", ["", "a\nb", "ü", "x" * 201])
def test_a_key_that_no_header_holds_is_refused(stub, client, key):
    with pytest.raises(SafsError, match="An Idempotency-Key is 1 to 200 printable characters"):
        client.submit("model: lenet5", key=key)
    assert stub.requests == []


@pytest.mark.parametrize(("part", "text"), [("config", "a\udcff"), ("name", "\ud800")])
def test_half_a_character_in_a_text_is_refused(stub, client, part, text):
    with pytest.raises(SafsError, match=rf"The {part} holds '\\ud\w+', a character that no text holds"):
        client.submit(**({"config": "model: lenet5"} | {part: text}))
    assert stub.requests == []


def test_what_is_no_text_is_refused(stub, client):
    with pytest.raises(SafsError, match="The config must be text, but is a bytes"):
        client.submit(b"model: lenet5")
    assert stub.requests == []
