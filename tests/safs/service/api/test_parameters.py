"""Addresses, parameters and methods that are none: each is a problem with a sentence, if it can be the client's."""

import pytest

from safs.client import Client
from spaces.errors import SafsError
from tests.safs.service.api.submitting import refused


def test_misspelt_parameters_are_refused(client, server, study):
    for path in ("/v1/studies?stat=RUNNING", f"/v1/studies/{study}?limit=3", f"/v1/studies/{study}/log?ofset=0"):
        answer = client.get(path)
        assert "Unknown parameter" in refused(answer, 422)
        assert answer.json()["field"] in ("stat", "limit", "ofset")
    with server.client(None) as nobody:
        refused(nobody.get("/v1/studies?stat=RUNNING"), 401)


@pytest.mark.parametrize(
    ("path", "headers", "field", "sentence"),
    [
        ("?state=bogus", {}, "state", "Unknown state 'bogus'. Choices: CANCELED, FAILED, QUEUED, RUNNING, SUCCEEDED."),
        ("?limit=0", {}, "limit", "limit: input should be greater than or equal to 1, but got '0'."),
        ("?after=x", {}, "after", "A study's id has 24 digits of 0-9 and a-f, as `safs list` shows them, but got 'x'."),
        ("?name=%00x", {}, "name", "A name has no control characters, but got '\\x00x'."),
        ("/xyz", {}, "id", "A study's id has 24 digits of 0-9 and a-f, as `safs list` shows them, but got 'xyz'."),
        (f"/{'0' * 24}/trials/x/log", {}, "trial_id", "A trial's id has 16 digits of 0-9 and a-f, but got 'x'."),
        (
            f"/{'0' * 24}/events",
            {"Last-Event-ID": "y"},
            "last-event-id",
            "An event's id is a number of at most 18 digits, but got 'y'.",
        ),
    ],
)
def test_what_is_wrong_is_said_as_people_say_it(client, path, headers, field, sentence):
    answer = client.get(f"/v1/studies{path}", headers=headers)
    assert (refused(answer, 422), answer.json()["field"]) == (sentence, field)


def test_the_client_says_the_same(client, server):
    with Client(f"http://127.0.0.1:{server.port}", None) as ours:
        for call, path in (
            (lambda: ours.study("xyz"), "xyz"),
            (lambda: ours.trial_log("0" * 24, "x"), f"{'0' * 24}/trials/x/log"),
        ):
            with pytest.raises(SafsError) as caught:
                call()
            assert str(caught.value) == refused(client.get(f"/v1/studies/{path}"), 422)


def test_names_that_are_none(client):
    for id in ("x", "A" * 24, "0" * 23, "..%2f..", "0" * 24 + "%0a"):
        assert client.get(f"/v1/studies/{id}").status_code in (404, 422)
    refused(client.get(f"/v1/studies/{'0' * 24}"), 404)
    assert refused(client.get("/v1/nothing"), 404) == "There is nothing at '/v1/nothing'."
    for path in ("/v1/studies/", "/healthz/"):  # and no redirect, whose host would be the request's
        refused(client.get(path, headers={"Host": "elsewhere.example"}), 404)


def test_a_method_that_does_nothing_is_told_those_that_do(client):
    answer = client.put("/v1/studies")
    assert answer.headers["allow"] == "GET, POST"
    assert refused(answer, 405) == "PUT does nothing here; there is GET, POST."
    assert client.post(f"/v1/studies/{'0' * 24}/cancel/x").status_code == 404
    assert client.post(f"/v1/studies/{'0' * 24}").headers["allow"] == "DELETE, GET"
    assert client.post("/static/main.js").headers["allow"] == "GET, HEAD"
