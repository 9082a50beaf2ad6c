"""A server that dies at each point of a submission and of a change of state."""

import signal
import time

import httpx2
import pytest

from benchmarks.service_truth import differences, falsehoods
from safs.service.storage.layout import OWNER
from tests.safs.service.conftest import eventually

COMMITTED = "sqlalchemy.engine.base:Connection._commit_impl after"
SUBMISSION = [
    "safs.service.storage.local:_LocalIncoming.keep after",
    "safs.service.store.submissions:submit after",
    COMMITTED,
]
CHANGES = {
    "cancel": [COMMITTED],
    "resume": ["safs.service.store.lifecycle:transition after"],
    "delete": ["safs.service.store.lifecycle:remove after", COMMITTED, "shutil:rmtree before"],
}
NEXT = {"cancel": "CANCELED", "resume": "QUEUED", "delete": None}


def submit(client, kind, key):
    files = {"config": (None, kind.config), "checkpoint": ("a.pt", kind.checkpoint)}
    return client.post("/v1/studies", files=files, headers={"Idempotency-Key": key})


def died(place):
    code = place.process.wait(60)
    assert code == -signal.SIGKILL, place.said()
    assert falsehoods(place.database, place.studies) == []


def ids(place, client):
    return [study["id"] for study in place.listed(client)]


@pytest.mark.thorough
def test_in_a_submission_which_is_made_once_however_often_it_is_sent(place, sorts, trap):
    points = trap(SUBMISSION)
    known = []
    with place.client(place.token) as client:
        for point in SUBMISSION:
            place.start(points.entry, worker=False)
            points.arm(point)
            with pytest.raises(httpx2.TransportError):
                submit(client, sorts[0], point)
            died(place)
            points.disarm()
            place.start(points.entry, worker=False)
            assert len(ids(place, client)) == len(known) + (point == COMMITTED)
            again = submit(client, sorts[0], point)
            assert again.status_code == (200 if point == COMMITTED else 201)
            assert submit(client, sorts[0], point).json()["id"] == again.json()["id"]
            known.append(again.json()["id"])
            assert ids(place, client) == known[::-1]
        for study in known[:2]:
            client.post(f"/v1/studies/{study}/cancel").raise_for_status()
        place.kill()  # right after acknowledging
        place.start()
        assert ids(place, client) == known[::-1]
        assert [client.get(f"/v1/studies/{study}").json()["state"] for study in known[:2]] == ["CANCELED"] * 2
        eventually(lambda: client.get(f"/v1/studies/{known[2]}").json()["state"] == "SUCCEEDED")
        assert differences(place.run_of(known[2]), sorts[0].undisturbed) == []
    assert falsehoods(place.database, place.studies) == []


def left(place):
    return [path for path in place.studies.iterdir() if path.name != OWNER]


def test_in_the_middle_of_an_upload_of_which_nothing_is_left(place, sorts):
    place.start(worker=False)

    def half():
        yield b'--limit\r\nContent-Disposition: form-data; name="checkpoint"; filename="a.pt"\r\n\r\n'
        yield sorts[0].checkpoint[:50_000]
        until = time.monotonic() + 60
        while not any(path.stat().st_size for path in place.studies.glob("*/input/checkpoint.part")):
            assert time.monotonic() < until
            yield b"\0" * 10_000
        place.kill()
        yield b"more"

    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    with place.client(place.token) as client:
        with pytest.raises(httpx2.TransportError):
            client.post("/v1/studies", content=half(), headers=headers)
        assert [path.name[:10] for path in left(place)] == [".incoming-"]
        assert falsehoods(place.database, place.studies) == []  # once swept
        assert left(place) == []
        place.start(worker=False)
        assert ids(place, client) == []


@pytest.mark.thorough
def test_in_a_change_of_state_which_is_made_whole_or_not_at_all(place, sorts, trap):
    points = trap(sorted({point for several in CHANGES.values() for point in several}))
    moments = [(verb, point) for verb, several in CHANGES.items() for point in several]
    with place.client(place.token) as client:
        place.start(points.entry, worker=False)
        ready = [submit(client, sorts[0], f"{moment}").raise_for_status().json()["id"] for moment in moments]
        for study, (verb, _) in zip(ready, moments, strict=True):
            if verb != "cancel":
                client.post(f"/v1/studies/{study}/cancel").raise_for_status()
        for study, (verb, point) in zip(ready, moments, strict=True):
            method, path = ("DELETE", "") if verb == "delete" else ("POST", f"/{verb}")
            points.arm(point)
            with pytest.raises(httpx2.TransportError):
                client.request(method, f"/v1/studies/{study}{path}")
            died(place)
            points.disarm()
            place.start(points.entry, worker=False)
            answer = client.request(method, f"/v1/studies/{study}{path}")
            changed = point in (COMMITTED, "shutil:rmtree before")
            refusal = 404 if verb == "delete" else 409
            assert answer.status_code == (refusal if changed else 204 if verb == "delete" else 202), (verb, point)
            left = client.get(f"/v1/studies/{study}")
            assert left.status_code == (404 if verb == "delete" else 200)
            assert left.json().get("state") == NEXT[verb]
            assert falsehoods(place.database, place.studies) == []
