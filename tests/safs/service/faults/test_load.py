"""Many clients at a time: each gets what it asked for, and the server keeps nothing when they have gone."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psutil
import pytest
import yaml

from benchmarks.service_kinds import SMALLEST
from benchmarks.service_truth import falsehoods, journal
from safs.service.store import events
from tests.safs.service.conftest import eventually

SUBMISSIONS = 50
READERS, STREAMS = 150, 50
PAUSE_S = 1.0
POOL = 100
"""Files that the connections to the database have open, at most: thirty connections, three files each."""
LONG = SMALLEST | {"stage1": SMALLEST["stage1"] | {"iterations": 500, "operators": ["relu", "srs", "tanh", "gelu"]}}
"""A study of several minutes, with a trial every tenth of a second or so."""


def test_submissions_that_come_at_once_are_each_made_once(place, sorts):
    place.start(worker=False)
    start = threading.Barrier(SUBMISSIONS)

    def submit(number):
        files = {
            "config": (None, sorts[0].config),
            "name": (None, f"number {number}"),
            "checkpoint": ("a.pt", sorts[0].checkpoint),
        }
        with place.client(place.token) as client:
            start.wait()
            return client.post("/v1/studies", files=files, headers={"Idempotency-Key": str(number)}, timeout=200)

    with ThreadPoolExecutor(SUBMISSIONS) as pool:
        answers = list(pool.map(submit, range(SUBMISSIONS)))
    assert [answer.status_code for answer in answers] == [201] * SUBMISSIONS
    made = {answer.json()["id"]: answer.json()["name"] for answer in answers}
    assert sorted(made.values()) == sorted(f"number {number}" for number in range(SUBMISSIONS))
    with place.client(place.token) as client:
        assert {study["id"]: study["name"] for study in place.listed(client)} == made
    assert falsehoods(place.database, place.studies) == []


class Load:
    """Readers that ask again and again, and streams that are followed to their end, on one study."""

    def __init__(self, place, study):
        self._place = place
        self._study = study
        self.over = asyncio.Event()
        self.statuses = []
        self.streams = []
        self.usage = []

    async def run(self, seconds):
        limits = httpx2.Limits(max_connections=READERS + STREAMS + 10)
        headers = {"Authorization": f"Bearer {self._place.token}"}
        async with (
            httpx2.AsyncClient(
                base_url=self._place.url, headers=headers, trust_env=False, limits=limits, timeout=60
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(READERS):
                group.create_task(self._read(client, number))
            followers = [group.create_task(self._follow(client)) for _ in range(STREAMS)]
            await self._watch(seconds)
            await client.post(f"/v1/studies/{self._study}/cancel")
            await asyncio.wait(followers)
            self.over.set()

    async def _read(self, client, number):
        paths = [
            "/v1/studies",
            f"/v1/studies/{self._study}",
            f"/v1/studies/{self._study}/trials",
            f"/v1/studies/{self._study}/log",
            f"/v1/studies/{self._study}/picture",
            "/v1/me",
        ]
        await asyncio.sleep(PAUSE_S * number / READERS)
        while not self.over.is_set():
            answer = await client.get(paths[number % len(paths)])
            self.statuses.append(answer.status_code)
            await asyncio.sleep(PAUSE_S)

    async def _follow(self, client):
        """Follow the study to the end of the stream, which must come by itself, and keep its numbered events."""
        kept = []
        async with client.stream("GET", f"/v1/studies/{self._study}/events", timeout=60) as answer:
            self.statuses.append(answer.status_code)
            event = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    if "id" in event:
                        kept.append((int(event["id"]), event["event"], json.loads(event["data"])))
                    event = {}
        self.streams.append(kept)

    async def _watch(self, seconds):
        """Look at the server for so long, and until the study has got somewhere."""
        server, began = psutil.Process(self._place.process.pid), time.monotonic()
        while time.monotonic() < began + seconds or len(journal(self._place.run_of(self._study))) < 5:
            assert time.monotonic() < began + seconds + 120, "the study does not go on"
            self.usage.append((server.memory_info().rss, server.num_fds(), server.num_threads()))
            await asyncio.sleep(seconds / 20)


def connections(process):
    return [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]


@pytest.mark.thorough
def test_readers_and_streams_get_everything_and_leave_nothing_behind(place):
    place.start()
    with place.client(place.token) as client:
        study = client.post("/v1/studies", files={"config": (None, yaml.safe_dump(LONG))}).raise_for_status().json()
    assert place.wait_for_a_trial(90)
    server = psutil.Process(place.process.pid)
    before = server.num_fds()
    load = Load(place, study["id"])
    asyncio.run(load.run(60))
    assert set(load.statuses) == {200}
    assert len(load.statuses) > READERS + STREAMS
    with place.database.reading() as connection:
        stored = events.since(connection, 0, study_id=study["id"], limit=100_000)
    expected = [(event.id, event.kind, event.data) for event in stored]
    assert expected[-1][2]["state"] == "CANCELED"
    assert sum(kind == "trial" for _, kind, _ in expected) > 3
    assert len(load.streams) == STREAMS
    assert all(stream == expected for stream in load.streams)
    eventually(lambda: not connections(server))
    memory, files, threads = zip(*load.usage, strict=True)
    settled = len(memory) // 2
    assert max(memory[settled:]) - max(memory[:settled]) < 50e6, "memory grows on and on"
    assert max(files) < before + READERS + STREAMS + POOL
    assert max(threads) < 150
    first = server.num_fds()
    assert first < before + POOL
    asyncio.run(Load(place, study["id"]).run(1))  # which has ended: the streams are replayed
    eventually(lambda: not connections(server))
    assert server.num_fds() <= first + 10, "a second time nothing is added"
    assert "Traceback" not in place.said()
