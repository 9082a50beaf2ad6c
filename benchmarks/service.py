"""How fast the service answers, and what a submission costs it.

    python -m benchmarks.service

On one machine with SQLite: reads at 200 requests a second while a study runs (asked: 99 % within 50 ms), the memory
that a checkpoint of 100 MB adds to the server (asked: less than 20 MB), and a page of the list among 10,000 studies of
100 trials each (asked: 50 ms). Reads are what the page asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import aiohttp
import httpx2
import psutil
import torch
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from benchmarks.service_place import Place
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.service.ids import new_id
from safs.service.scopes import Scope
from safs.service.states import State
from safs.service.store import tokens
from safs.service.store.database import Database
from safs.service.store.tables import StudyRow, TrialRow

RATE, SECONDS = 200, 30
STUDIES, TRIALS = 10_000, 100
CONFIG = """
model: {name: lenet5, pretrain: {epochs: 2, batch_size: 128, lr: 0.005}}
data: digits
prune: {ratio: 0.98, scope: global}
train: {epochs: 15, batch_size: 64, lr: 0.01}
stage1: {iterations: 1000, epochs: 5}
"""


def fill(database: Database) -> None:
    """Store many studies that have ended."""
    with database.writing() as connection:
        token = tokens.find(connection, tokens.create(connection, "many", Scope.SUBMIT))
        assert token is not None
        ids = [new_id() for _ in range(STUDIES)]
        now = time.time()
        connection.execute(
            insert(StudyRow),
            [
                {
                    "id": id, "token_id": token.id, "name": f"study {n}", "state": State.SUCCEEDED, "priority": 0,
                    "config": CONFIG, "model": "lenet5", "data": "digits", "searcher": "surrogate", "gpus": 0.0,
                    "request": "", "created": now, "attempts": 1, "cancelling": False,
                }
                for n, id in enumerate(ids)
            ],
        )  # fmt: skip
        trial = {
            "id": "0" * 16, "phase": "stage1", "status": "SUCCEEDED", "reason": None, "cost": 1.0, "accuracy": None,
            "seconds": 1.0, "assignment": ["srs"] * 4, "protocol": {"lr": 0.01}, "fold": None, "learn": False,
        }  # fmt: skip
        for id in ids:
            connection.execute(
                insert(TrialRow), [{"study_id": id, "n": n, "trial": trial | {"n": n}} for n in range(1, TRIALS + 1)]
            )


async def read(place: Place, paths: list[str]) -> list[float]:
    """Ask for paths at a steady rate, whether or not earlier answers have come; return the seconds of each, sorted."""
    draw = random.Random(0)
    seconds: list[float] = []
    headers, timeout = {"Authorization": f"Bearer {place.token}"}, aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(place.url, headers=headers, timeout=timeout, raise_for_status=True) as client:

        async def ask(path: str, due: float) -> None:
            async with client.get(path) as answer:
                await answer.read()
            seconds.append(time.perf_counter() - due)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(RATE * SECONDS):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(ask(draw.choice(paths), due))
    return sorted(seconds)


def listed(client: httpx2.Client, filters: dict[str, str]) -> list[float]:
    """Return the seconds of 200 pages of the list, one after the other."""
    taken = []
    after: str | None = None
    for _ in range(200):
        began = time.perf_counter()
        answer = client.get("/v1/studies", params=filters | ({"after": after} if after else {}))
        taken.append(time.perf_counter() - began)
        after = answer.raise_for_status().json()["next"]
    return taken


def percentile(seconds: list[float], percent: int) -> str:
    """Return a percentile in milliseconds."""
    return f"{1000 * quantiles(seconds, n=100)[percent - 1]:.1f} ms"


def checkpoint(path: Path) -> None:
    """Write a pruned checkpoint of 100 MB: a small network's, and the state of an optimizer, which is not read."""
    network = make_model("lenet5", {}, seed=0)
    apply_mask(network, prune(network, 0.9))
    torch.save({"state_dict": network.state_dict(), "optimizer": torch.rand(25_000_000)}, path)


def memory(process: psutil.Process, place: Place, file: Path) -> tuple[int, int]:
    """Return by how many bytes a server grows, at most, while it takes a file; and with the process that checks it."""

    def used() -> tuple[int, int]:
        own = process.memory_info().rss
        others = 0
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                others += child.memory_full_info().uss
        return own, own + others

    before = peak = used()
    form = ["-H", f"Authorization: Bearer {place.token}", "-F", f"config={CONFIG}", "-F", f"checkpoint=@{file}"]
    command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", *form, f"{place.url}/v1/studies"]
    sending = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while sending.poll() is None:
        now = used()
        peak = max(peak[0], now[0]), max(peak[1], now[1])
        time.sleep(0.01)
    assert sending.communicate()[0] == "201", "it is acknowledged"
    return peak[0] - before[0], peak[1] - before[1]


def main() -> None:
    table = Table("what", "asked", "got", title="safs serve, SQLite, two cores")
    with tempfile.TemporaryDirectory() as folder, Place(Path(folder), Scope.ADMIN) as place:
        place.start()
        assert place.process is not None, "it was started"
        process = psutil.Process(place.process.pid)
        with place.client(place.token) as client:
            study = client.post("/v1/studies", files={"config": (None, CONFIG)}).raise_for_status().json()["id"]
            while client.get(f"/v1/studies/{study}/trials").json()["trials"] == []:
                time.sleep(0.5)
        one = f"/v1/studies/{study}"
        paths = ["/v1/studies", one, f"{one}/trials", f"{one}/log?offset=-4096", f"{one}/artifacts", f"{one}/picture"]
        seconds = asyncio.run(read(place, paths))
        table.add_row(f"reads, {RATE}/s, a study running: median", "", percentile(seconds, 50))
        table.add_row("99th percentile", "50 ms", percentile(seconds, 99))
        file = Path(folder) / "checkpoint.pt"
        checkpoint(file)
        grown = [memory(process, place, file) for _ in range(3)]
        table.add_row(
            "server's memory for a checkpoint of 100 MB", "20 MB", f"{max(own for own, _ in grown) / 1e6:.1f} MB"
        )
        most = max(both for _, both in grown)
        table.add_row("with the process that checks it, for a second", "", f"{most / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as folder, Place(Path(folder), Scope.ADMIN) as place:
        fill(place.database)
        place.start(worker=False)
        with place.client(place.token) as client:
            for what, filters in (
                ("a page of 50", {}),
                ("by state", {"state": "FAILED"}),
                ("by name", {"name": "9999"}),
            ):
                seconds = listed(client, filters)
                table.add_row(f"{what} among {STUDIES:,} studies of {TRIALS} trials", "50 ms", percentile(seconds, 99))
    Console().print(table)


if __name__ == "__main__":
    main()
