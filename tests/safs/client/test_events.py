import pytest

from safs.client import ServiceError, Unreachable
from safs.client.records import LogPart
from tests.safs.client.stub import ID, answer, drop, events, logged, problem, study

PATH = f"/studies/{ID}"
RUNNING, ENDED = {"state": "RUNNING"}, {"state": "FAILED", "reason": "OOM"}


def test_a_lost_connection_goes_on_after_the_last_stored_event(stub, client):
    stub.on(
        f"{PATH}/events",
        events((1, "state", RUNNING), (None, "progress", {"done": 0.1}), cut=True),
        drop,
        events((2, "trial", {"n": 1})),
        events((3, "state", ENDED)),
    )
    stub.on(PATH, answer(study()), answer(study("FAILED")))
    seen = [(event.type, event.id) for event in client.events(ID)]
    assert seen == [("state", "1"), ("progress", "1"), ("trial", "2"), ("state", "3")]
    assert [r.headers["Last-Event-ID"] for r in stub.asked(f"{PATH}/events")] == [None, "1", "1", "2"]


def test_a_failure_of_before_a_resume_is_not_the_end(stub, client):
    stub.on(f"{PATH}/events", events((1, "state", ENDED), (2, "state", RUNNING), (3, "state", {"state": "SUCCEEDED"})))
    stub.on(PATH, answer(study("SUCCEEDED")))
    assert [event.data["state"] for event in client.events(ID, after="0")] == ["FAILED", "RUNNING", "SUCCEEDED"]


def test_nothing_but_failures_is_an_end(stub, client, pauses):
    stub.on(f"{PATH}/events", drop)
    with pytest.raises(Unreachable):
        list(client.events(ID))
    assert len(stub.requests) == 10


def test_an_ended_stream_of_a_running_study_is_not_asked_for_in_haste(stub, client, pauses):
    stub.on(f"{PATH}/events", events())
    stub.on(PATH, answer(study()))
    with pytest.raises(Unreachable, match="ended the stream"):
        list(client.events(ID))
    assert len(pauses) == 9


def test_a_deleted_study_ends_it(stub, client):
    stub.on(f"{PATH}/events", drop, problem(404, "There is no such study."))
    with pytest.raises(ServiceError, match="no such study"):
        list(client.events(ID))


def test_a_log_is_read_to_its_end(stub, client, monkeypatch):
    monkeypatch.setattr("safs.client.client._POLL", 0.01)
    stub.on(f"{PATH}/log", logged("epoch 1", 7), logged("", 7), logged(": α\n", 12), logged("", 12, complete=True))
    assert b"".join(client.follow_log(ID)).decode() == "epoch 1: α\n"
    assert [dict(request.query)["offset"] for request in stub.requests] == ["0", "7", "7", "12"]


def test_a_log_outlasts_a_restart_of_its_server(stub, client, pauses):
    stub.on(f"{PATH}/log", logged("a", 1), *[drop] * 9, logged("b", 2), *[drop] * 9, logged("", 2, complete=True))
    assert b"".join(client.follow_log(ID)) == b"ab"
    stub.on(f"{PATH}/log", drop)
    with pytest.raises(Unreachable):
        list(client.follow_log(ID))


def test_a_log_is_read_as_far_as_it_is_there(stub, client):
    stub.on(f"{PATH}/log", logged("a", 1), logged("b", 2), logged("", 2))
    assert list(client.follow_log(ID, wait=False)) == [b"a", b"b"]


def test_who_does_not_follow_a_log_waits_for_no_longer_than_others(stub, client, pauses):
    stub.on(f"{PATH}/log", drop)
    with pytest.raises(Unreachable):
        list(client.follow_log(ID, wait=False))
    assert len(pauses) == 6


def test_where_a_piece_of_a_log_ends_is_the_servers_word(stub, client):
    stub.on(f"{PATH}/log", logged("the end\n", 5000, complete=True), answer(b"the end"))
    assert client.log(ID, -8) == LogPart(b"the end\n", 5000, True)
    with pytest.raises(ServiceError, match="is the address right"):
        client.log(ID, -8)


def test_the_log_of_a_trial_is_read_to_its_end(stub, client):
    trial = "0" * 16
    path = f"{PATH}/trials/{trial}/log"
    stub.on(path, logged("a" * 5, 5), logged("b" * 3, 8, complete=True))
    assert client.trial_log(ID, trial) == b"aaaaabbb"
    stub.on(path, logged("a", 1), logged("", 1))  # its study runs
    assert client.trial_log(ID, trial) == b"a"
    assert [dict(request.query)["offset"] for request in stub.requests] == ["0", "5", "0", "1"]
