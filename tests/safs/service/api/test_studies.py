"""Studies: looked at, followed, changed, deleted."""

import json
import time

import pytest

from safs.service.scopes import Scope
from safs.service.states import Reason, State
from safs.service.store import tokens
from tests.safs.service.api.submitting import refused, submitted, trial


def followed(client, id, **options):
    """Follow a study to its end: yield its events as they come."""
    until = time.monotonic() + 60
    with client.stream("GET", f"/v1/studies/{id}/events", **options) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event = {}
        for line in answer.iter_lines():
            assert time.monotonic() < until, "nothing but heartbeats comes"
            if not line:
                if "event" in event:
                    yield event.get("id"), event["event"], json.loads(event["data"])
                event = {}
            else:
                key, _, value = line.partition(": ")
                event[key] = value


def test_a_study_from_its_queue_to_its_end(client, study, run):
    assert client.get(f"/v1/studies/{study}").json()["state"] == "QUEUED"
    proceed = run(study)
    running = client.get(f"/v1/studies/{study}").json()
    assert (running["state"], running["attempts"], running["ended"]) == ("RUNNING", 1, None)
    assert running["started"] > running["created"]
    proceed(
        trial(1), trial(2), progress={"phase": "stage1", "done": 0.5, "seconds_left": 1, "trials": 2, "running": []}
    )
    assert client.get(f"/v1/studies/{study}").json()["progress"]["done"] == 0.5
    proceed(state=State.FAILED, reason=Reason.OOM, message="It took too much.")
    ended = client.get(f"/v1/studies/{study}").json()
    assert (ended["state"], ended["reason"], ended["message"]) == ("FAILED", "OOM", "It took too much.")
    assert ended["ended"] >= ended["started"]
    found = client.get(f"/v1/studies/{study}/trials", params={"limit": 1}).json()
    assert ([one["n"] for one in found["trials"]], found["next"]) == ([1], 1)
    found = client.get(f"/v1/studies/{study}/trials", params={"after": 1}).json()
    assert ([one["n"] for one in found["trials"]], found["next"]) == ([2], None)


def test_pages_and_filters(client, server):
    with server.client(server.make_token("lister")) as mine:
        ids = [submitted(mine, {}, name=f"list {n}").json()["id"] for n in range(3)]
        page = mine.get("/v1/studies", params={"limit": 2}).json()
        assert [one["id"] for one in page["studies"]] == ids[:0:-1]
        assert page["next"] == ids[1]
        rest = mine.get("/v1/studies", params={"limit": 2, "after": page["next"]}).json()
        assert ([one["id"] for one in rest["studies"]], rest["next"]) == ([ids[0]], None)
        assert len(mine.get("/v1/studies", params={"name": "LIST 1"}).json()["studies"]) == 1
        assert mine.get("/v1/studies", params={"state": ["RUNNING", "FAILED"]}).json()["studies"] == []
        assert len(mine.get("/v1/studies", params={"state": "QUEUED"}).json()["studies"]) == 3
        for bad in ({"limit": 0}, {"limit": 201}, {"state": "DONE"}, {"after": "x"}, {"name": "x" * 101}):
            refused(mine.get("/v1/studies", params=bad), 422)


def test_a_study_is_its_owners_and_the_administrators(server, study):
    with (
        server.client(server.make_token("stranger")) as stranger,
        server.client(server.make_token("root", Scope.ADMIN)) as admin,
    ):
        for path in ("", "/config", "/trials", "/events", "/log", "/artifacts", "/picture", "/artifacts/summary.json"):
            refused(stranger.get(f"/v1/studies/{study}{path}"), 404)
        for path in ("/cancel", "/resume"):
            refused(stranger.post(f"/v1/studies/{study}{path}"), 404)
        refused(stranger.delete(f"/v1/studies/{study}"), 404)
        assert admin.get(f"/v1/studies/{study}").status_code == 200
        assert study in [one["id"] for one in admin.get("/v1/studies", params={"limit": 200}).json()["studies"]]


def test_a_token_that_reads_changes_nothing(server, study):
    with server.client(server.make_token("only reads", Scope.READ)) as reader:
        refused(reader.post(f"/v1/studies/{study}/cancel"), 403)
        refused(reader.post(f"/v1/studies/{study}/resume"), 403)
        refused(reader.delete(f"/v1/studies/{study}"), 403)


def test_cancel_resume_delete(client, server, study):
    assert "only one that FAILED or was CANCELED" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert "cancel it before" in refused(client.delete(f"/v1/studies/{study}"), 409)
    canceled = client.post(f"/v1/studies/{study}/cancel")
    assert (canceled.status_code, canceled.json()["state"]) == (202, "CANCELED")
    assert "CANCELED already" in refused(client.post(f"/v1/studies/{study}/cancel"), 409)
    resumed = client.post(f"/v1/studies/{study}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (202, "QUEUED")
    client.post(f"/v1/studies/{study}/cancel")
    assert (server.home / "studies" / study).is_dir()
    assert client.delete(f"/v1/studies/{study}").status_code == 204
    assert not (server.home / "studies" / study).exists()
    refused(client.get(f"/v1/studies/{study}"), 404)
    refused(client.delete(f"/v1/studies/{study}"), 404)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_what_has_ended_is_not_canceled_and_what_succeeded_not_resumed(state, client, study, run):
    run(study)(state=state)
    assert f"{state} already" in refused(client.post(f"/v1/studies/{study}/cancel"), 409)
    if state is State.SUCCEEDED:
        assert "only one that FAILED or was CANCELED" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert client.get(f"/v1/studies/{study}").json()["state"] == state


def test_a_running_study_is_neither_resumed_nor_deleted(client, study, run):
    run(study)
    assert "The study is RUNNING; only one that" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert "The study is RUNNING; cancel it" in refused(client.delete(f"/v1/studies/{study}"), 409)
    assert client.get(f"/v1/studies/{study}").json()["state"] == "RUNNING"


def test_a_running_study_is_canceled_by_its_worker(client, study, run):
    proceed = run(study)
    answer = client.post(f"/v1/studies/{study}/cancel").json()
    assert (answer["state"], answer["cancelling"]) == ("RUNNING", True)
    proceed(state=State.CANCELED)
    assert client.get(f"/v1/studies/{study}").json()["cancelling"] is False


def test_events_are_followed_to_the_end_and_from_anywhere(client, study, run):
    proceed = run(study)
    progress = {"phase": "stage1", "done": 0.5, "seconds_left": 1.0, "trials": 1, "running": []}
    events = []
    for event in followed(client, study):  # each comes before the next is there
        events.append(event)
        _, kind, data = event
        if data.get("state") == "RUNNING":
            proceed(trial(1))
        elif (kind, data.get("n")) == ("trial", 1):
            proceed(progress=progress)
        elif kind == "progress":
            proceed(trial(2), state=State.SUCCEEDED)
    stored = [event for event in events if event[0] is not None]
    assert [(kind, data.get("state") or data["n"]) for _, kind, data in stored] == [
        ("state", "QUEUED"), ("state", "RUNNING"), ("trial", 1), ("trial", 2), ("state", "SUCCEEDED")
    ]  # fmt: skip
    assert (None, "progress", progress) in events
    numbers = [int(number) for number, _, _ in stored]
    assert numbers == sorted(numbers)
    assert list(followed(client, study, headers={"Last-Event-ID": ""})) == list(followed(client, study))
    rest = followed(client, study, headers={"Last-Event-ID": str(numbers[2])})
    assert [event for event in rest if event[0] is not None] == stored[3:]
    rest = followed(client, study, params={"after": numbers[3]})
    assert [event for event in rest if event[0] is not None] == stored[4:]
    for bad in ("x", "-1", "9" * 30):
        refused(client.get(f"/v1/studies/{study}/events", headers={"Last-Event-ID": bad}), 422)


def test_a_revoked_token_follows_nothing_any_more(server, run):
    with server.client(server.make_token("to be revoked")) as mine:
        id = submitted(mine, {}).json()["id"]
        proceed = run(id)
        with mine.stream("GET", f"/v1/studies/{id}/events", timeout=60) as answer:
            lines = answer.iter_lines()
            while "RUNNING" not in next(lines):
                pass
            with server.database.writing() as connection:
                tokens.revoke(connection, "to be revoked")
            proceed(trial(1))
            assert "trial" not in "".join(lines), "and it ends"
        refused(mine.get(f"/v1/studies/{id}"), 401)


def test_health_metrics_and_the_page(server):
    with server.client(None) as anybody:
        assert anybody.get("/healthz").json() == {"status": "ok"}
        assert anybody.get("/readyz").status_code == 200
        anybody.get(f"/v1/studies/{'0' * 24}/log")
        metrics = anybody.get("/metrics").text
        assert 'safs_studies{state="queued"}' in metrics
        assert 'safs_http_requests_total{method="GET",route="/v1/studies/{id}/log",status="401"}' in metrics
        page = anybody.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert anybody.get("/static/main.js").headers["content-type"].startswith("text/javascript")
        refused(anybody.get("/static/../settings.py"), 404)
        refused(anybody.get("/static/%2e%2e/settings.py"), 404)


def test_who_asks(server):
    with server.client(server.make_token("me", Scope.READ, most_gpus=0.5, most_queued=3)) as client:
        assert client.get("/v1/me").json() == {
            "name": "me", "scope": "read", "limits": {"queued": 3, "upload_bytes": 2 * 2**30, "gpus": 0.5}
        }  # fmt: skip
