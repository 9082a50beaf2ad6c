"""Clients that work with a service while it is killed, and what they were told.

They submit (with checkpoints that trickle in), cancel, resume and delete, and ask again after every broken connection,
as `safs.client` does.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx2

from benchmarks.service_kinds import Kind
from benchmarks.service_place import Place
from safs.service.states import ENDED, State

_OK, _BEGUN, _NO_STUDY, _NOT_NOW = (200, 201, 202, 204), (201, 200), 404, 409


@dataclass
class Found:
    """What became of everything.

    Attributes:
        kills: how often each of server, worker, study and all was killed, and at which moments.
        acknowledged: how many submissions were.
        changes: how many cancels, resumes and deletions were answered.
        lost: studies that were acknowledged and are not there, or twice.
        false: what was not true.
        different: studies that came to something else than an undisturbed run.
        finished: how many studies were run to their end.
    """

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    finished: int = 0


class Moments:
    """What happens just now, for those who wait for it."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()
        self._news = threading.Condition()

    def tell(self, name: str) -> None:
        with self._news:
            self._told[name] += 1
            self._news.notify_all()

    def wait(self, name: str, seconds: float) -> bool:
        with self._news:
            before = self._told[name]
            return self._news.wait_for(lambda: self._told[name] > before, seconds)


class Ledger:
    """What clients were told: which study each key made, and what is to become of it. Used by all of them."""

    def __init__(self, keep: int) -> None:
        self.lock = threading.Lock()
        self.found = Found()
        self.ids: dict[str, str] = {}
        self.kinds: dict[str, Kind] = {}
        self.fates: dict[str, str] = {}
        self._keep = keep

    def fate(self, rng: random.Random) -> str:
        """Return what becomes of the next study; only some are run to their end, as that takes long."""
        fate = rng.choice(["keep", "cancel", "delete", "resume", "delete"])
        with self.lock:
            if fate in ("keep", "resume"):
                if not self._keep:
                    return "delete"
                self._keep -= 1
        return fate

    def acknowledge(self, key: str, id: str, kind: Kind, fate: str) -> None:
        with self.lock:
            if self.ids.setdefault(key, id) != id:
                self.found.lost.append(f"the key {key} made {self.ids[key]}, and then {id}")
            self.found.acknowledged += id not in self.kinds
            self.kinds[id] = kind
            self.fates[id] = fate

    def false(self, sentence: str) -> None:
        with self.lock:
            self.found.false.append(sentence)


class Client(threading.Thread):
    """Submits study after study, and does to each what its fate is."""

    def __init__(self, place: Place, sorts: list[Kind], rng: random.Random, moments: Moments, ledger: Ledger) -> None:
        super().__init__(name="client", daemon=True)
        self.over = threading.Event()
        self._place, self._sorts, self._rng, self._moments, self._ledger = place, sorts, rng, moments, ledger
        self._http = place.client(place.token)

    def run(self) -> None:
        with self._http:
            while not self.over.is_set():
                try:
                    self._one()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
                    self._ledger.false(f"a client failed: {error!r}")

    def _one(self) -> None:
        key, kind = f"{self._rng.getrandbits(64):016x}", self._rng.choice(self._sorts)
        fate = self._ledger.fate(self._rng)
        impatient = fate == "delete" and self._rng.random() < 0.3  # asks once, and never learns what became of it
        answer = self._submit(key, kind, fate) if impatient else self._asked(lambda: self._submit(key, kind, fate))
        if answer is None or answer.status_code not in _BEGUN:
            if answer is not None:
                self._ledger.false(f"a submission was answered {answer.status_code}: {answer.text[:200]}")
            return
        study = answer.json()["id"]
        self._ledger.acknowledge(key, study, kind, fate)
        self._moments.tell("acknowledged")
        if self._rng.random() < 0.3:
            again = self._asked(lambda: self._submit(key, kind, fate)).json()["id"]
            self._ledger.acknowledge(key, again, kind, fate)
        if fate != "keep":
            self._change(study, fate)

    def _change(self, study: str, fate: str) -> None:
        if self._rng.random() < 0.5:
            self._wait(study, {State.RUNNING, *ENDED}, 5.0)
        self._ask("POST", study, "/cancel")
        if fate == "cancel":
            return
        self._wait(study, ENDED, 120.0)
        if fate == "resume":
            self._ask("POST", study, "/resume")
        else:
            self._ask("DELETE", study, "")

    def _submit(self, key: str, kind: Kind, fate: str) -> httpx2.Response | None:
        priority = 0 if fate == "keep" else 50  # before those that are kept, so that they run
        headers = {"Idempotency-Key": key, "Content-Type": "multipart/form-data; boundary=limit"}
        with contextlib.suppress(httpx2.TransportError):
            return self._http.post("/v1/studies", content=self._body(kind, priority), headers=headers)
        return None

    def _body(self, kind: Kind, priority: int) -> Iterator[bytes]:
        """Give the form piece by piece, as over a slow line."""
        for name, text in (("config", kind.config), ("priority", str(priority))):
            yield f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        if kind.checkpoint is not None:
            yield b'--limit\r\nContent-Disposition: form-data; name="checkpoint"; filename="a.pt"\r\n\r\n'
            piece = len(kind.checkpoint) // 8
            for start in range(0, len(kind.checkpoint), piece):
                yield kind.checkpoint[start : start + piece]
                self._moments.tell("upload")
                time.sleep(0.02)
            yield b"\r\n"
        yield b"--limit--\r\n"
        self._moments.tell("sent")

    def _ask(self, method: str, study: str, verb: str) -> None:
        def send() -> httpx2.Response | None:
            self._moments.tell("changing")
            with contextlib.suppress(httpx2.TransportError):
                return self._http.request(method, f"/v1/studies/{study}{verb}")
            return None

        answer = self._asked(send)
        if answer.status_code not in (*_OK, _NOT_NOW, _NO_STUDY):
            self._ledger.false(f"{method} {verb} was answered {answer.status_code}: {answer.text[:200]}")
        if answer.status_code == _NO_STUDY and verb:
            self._ledger.found.lost.append(f"{study} was acknowledged, and is not there to {verb}")
        with self._ledger.lock:
            self._ledger.found.changes[verb.strip("/") or "delete"] += 1

    def _wait(self, study: str, states: set[State] | frozenset[State], seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = self._asked(self._get(f"/v1/studies/{study}"))
            if answer.status_code != 200 or answer.json()["state"] in states:
                return
            time.sleep(0.05)

    def _get(self, path: str) -> Callable[[], httpx2.Response | None]:
        def send() -> httpx2.Response | None:
            with contextlib.suppress(httpx2.TransportError):
                return self._http.get(path)
            return None

        return send

    def _asked(self, send: Callable[[], httpx2.Response | None]) -> httpx2.Response:
        """Ask until there is an answer that is one."""
        while True:
            answer = send()
            if answer is not None and answer.status_code != 503:
                return answer
            self._place.up.wait(1.0)
            time.sleep(0.02)
