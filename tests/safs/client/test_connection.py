"""One origin, retries within bounds, errors in sentences."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from safs.client import Client, ServiceError, Unreachable
from spaces.errors import SafsError
from tests.safs.client.stub import ID, TOKEN, answer, drop, half, problem, slow, study

PATH = f"/studies/{ID}"


def test_a_study_is_read_and_unknown_keys_are_left_out(stub, client):
    running = {"id": "0" * 16, "phase": "stage1", "epoch": 2, "epochs": 3, "new": 1}
    progress = {"phase": "stage1", "done": 0.4, "seconds_left": None, "trials": 3, "running": [running], "new": 1}
    stub.on(PATH, answer(study(progress=progress)))
    found = client.study(ID)
    assert (found.name, found.state, found.has_ended) == ("first", "RUNNING", False)
    assert (found.progress.done, found.progress.running[0].epoch) == (0.4, 2)
    assert stub.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "failure", [drop, half(b"{}" * 50, 10), problem(503, "Soon."), problem(408, "Late."), answer(b"<html>", 502)]
)
def test_what_may_pass_is_tried_again(stub, client, pauses, failure):
    stub.on(PATH, failure, failure, answer(study()))
    assert client.study(ID).id == ID
    assert len(stub.requests) == 3
    assert 0.12 <= pauses[0] <= 0.25 <= pauses[1] <= 0.5


def test_attempts_are_bounded(stub, client, pauses):
    stub.on(PATH, problem(503, "The database does not answer."))
    with pytest.raises(ServiceError, match="The database does not answer") as caught:
        client.study(ID)
    assert (caught.value.status, caught.value.exit_code) == (503, 1)
    assert (len(stub.requests), len(pauses)) == (7, 6)
    assert sum(pauses) > 7.5, "a server that is started anew takes some seconds"


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422])
def test_a_refusal_is_final_and_says_the_servers_sentence(stub, client, status):
    stub.on(PATH, answer({"detail": "No,\n\x1b[31m never.", "field": "model.name"}, status))
    with pytest.raises(ServiceError) as caught:
        client.study(ID)
    assert str(caught.value) == "No, ?[31m never."
    assert (caught.value.status, caught.value.field, caught.value.exit_code) == (status, "model.name", 2)
    assert len(stub.requests) == 1


def test_a_token_that_is_refused_is_named_by_where_it_comes_from(stub, client):
    stub.on("/me", problem(401, "A token is needed that is good here: Authorization: Bearer safs_..."))
    with pytest.raises(
        ServiceError, match=f"The token that was given is not known at {stub.url}, or was revoked"
    ) as one:
        client.me()
    assert (one.value.status, one.value.exit_code) == (401, 2)
    named = Client(stub.url, TOKEN, origin="in /home/me/token")
    with named, pytest.raises(ServiceError, match="The token in /home/me/token is not known"):
        named.me()
    with Client(stub.url, None) as nobody, pytest.raises(ServiceError, match="A token is needed"):
        nobody.me()
    assert len(stub.requests) == 3


def test_retry_after_is_heeded_as_seconds_and_as_a_date_and_not_for_long(stub, client, pauses):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    stub.on(PATH, *(problem(429, "Slowly.", Retry_After=wish) for wish in ("7", date)), answer(study()))
    client.study(ID)
    assert pauses[0] == 7
    assert 1 < pauses[1] <= 9
    for headers in ({"Retry_After": "60"}, {"Retry_After": "86400"}, {"Retry_After": "nonsense"}, {}):
        stub.on(PATH, problem(429, "Too many are queued.", **headers))
        with pytest.raises(ServiceError, match="Too many"):
            client.study(ID)
    assert len(pauses) == 2


def test_whoever_waits_is_told_so_once(stub, client, caplog):
    stub.on(PATH, drop, answer(study()), *[drop] * 4, answer(study()))
    client.study(ID)
    assert caplog.messages == []
    client.study(ID)
    (said,) = caplog.messages
    assert said.startswith(f"Trying again for a while: The service at {stub.url} cannot be reached")


def test_a_change_is_not_tried_again(stub, client):
    stub.on(f"{PATH}/cancel", drop, method="POST")
    with pytest.raises(Unreachable):
        client.cancel(ID)
    assert len(stub.requests) == 1


def test_nobody_there_says_what_to_do(pauses):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, TOKEN) as client, pytest.raises(Unreachable, match="safs serve") as caught:
        client.me()
    assert url in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_server_that_does_not_answer_is_left(stub, pauses):
    stub.on("/me", slow(1.0))
    with Client(stub.url, TOKEN, timeout=0.1) as client, pytest.raises(Unreachable, match="in time"):
        client.me()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b"{}", b"null"])
def test_what_is_not_the_service_is_one_sentence(stub, client, body):
    stub.on(PATH, answer(body))
    with pytest.raises(ServiceError, match="is the address right"):
        client.study(ID)


def test_a_redirect_is_not_followed(stub, client):
    stub.on(PATH, answer(b"", 307, Location="http://127.0.0.1:9/v1/me"))
    with pytest.raises(ServiceError, match="redirects"):
        client.study(ID)
    assert len(stub.requests) == 1


def test_a_proxy_of_the_environment_is_not_for_this_machine(stub, monkeypatch, pauses):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    stub.on("/me", answer({"name": "n"}))
    with Client(stub.url, TOKEN) as client:
        assert client.me() == {"name": "n"}


def test_the_token_is_in_no_text(stub, client):
    stub.on(PATH, problem(400, f"Bearer {TOKEN} is odd."))
    with pytest.raises(ServiceError) as caught:
        client.study(ID)
    assert TOKEN not in f"{caught.value!r} {client!r} {vars(client)!r}"


@pytest.mark.parametrize("id", ["", "../me", ID.upper(), f"{ID}/", f"{ID}\n", "?"])
def test_an_id_is_checked_before_it_becomes_a_path(stub, client, id):
    with pytest.raises(SafsError, match="24 digits"):
        client.study(id)
    with pytest.raises(SafsError, match="16 digits"):
        client.trial_log(ID, id)
    assert stub.requests == []


def test_studies_are_read_page_by_page(stub, client):
    stub.on("/studies", answer({"studies": [study()] * 2, "next": ID}), answer({"studies": [study()], "next": None}))
    assert len(list(client.studies(states=["QUEUED", "RUNNING"], name="f&r"))) == 3
    first, second = stub.requests
    assert first.query == [("state", "QUEUED"), ("state", "RUNNING"), ("name", "f&r"), ("limit", "200")]
    assert second.query == [*first.query, ("after", ID)]


@pytest.mark.parametrize("token", ["", "a\nb", "ü", "two words"])
def test_what_is_no_token_is_refused_before_it_is_sent_and_not_shown(stub, token):
    with pytest.raises(SafsError, match="The token must hold a token and nothing else") as caught:
        Client(stub.url, token)
    assert "words" not in str(caught.value)
    assert stub.requests == []


def test_half_a_character_is_one_sentence(client):
    with pytest.raises(SafsError, match=r"The request holds '\\ud800', a character that no text holds"):
        list(client.studies(name="a\ud800"))


@pytest.mark.parametrize("after", ["1\n2", "x", "-1", ""])
def test_what_is_no_number_of_an_event_is_refused(client, after):
    with pytest.raises(SafsError, match="An event's id is a number"):
        client.events(ID, after)


def test_a_request_that_no_server_would_take_is_one_sentence(stub, client):
    with pytest.raises(SafsError, match=r"No such request can be made: .*too long"):
        list(client.studies(name="a" * 70_000))
    assert stub.requests == []
