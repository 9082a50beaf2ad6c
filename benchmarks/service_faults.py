"""A real service that is killed again and again while clients work with it, and what became of it.

A killer waits for moments of theirs, or for a trial's end, or for chance, and ends the server, its worker, a study's
process, or all of them, by SIGKILL. All choices are drawn from one seed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import select

from benchmarks.service_clients import Client, Found, Ledger, Moments
from benchmarks.service_kinds import kinds
from benchmarks.service_place import HURRIED, Place
from benchmarks.service_truth import differences, falsehoods
from safs.service.states import ENDED, State
from safs.service.store.tables import StudyRow

CLIENTS = 4
MOMENTS = ("upload", "sent", "acknowledged", "changing", "trial", "chance")
_OF_CLIENTS = {"server": 70, "worker": 15, "all": 15}
_OF_STUDIES = {"server": 20, "worker": 40, "study": 30, "all": 10}
_LONGEST_WAIT_S = 20.0
_FINISH_S = 1200.0


def disturb(home: Path, kill: int, seed: int, *, keep: int | None = None) -> Found:
    """Kill a service so many times, let it finish what it has, and return what became of everything.

    Args:
        home: an empty folder.
        kill: how many times.
        seed: of all choices.
        keep: how many studies are run to their end; a fifth of the kills, but at least 4, if None.
    """
    rng = random.Random(seed)
    (home / "undisturbed").mkdir()
    sorts = kinds(home / "undisturbed")
    ledger, moments = Ledger(max(4, kill // 5) if keep is None else keep), Moments()
    with Place(home / "service", **HURRIED) as place:
        place.start()
        clients = [Client(place, sorts, random.Random(rng.getrandbits(64)), moments, ledger) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(kill):
            _kill(place, moments, rng, ledger.found)
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(_FINISH_S)
        _finish(place, ledger)
        _judge(place, ledger)
    return ledger.found


def _kill(place: Place, moments: Moments, rng: random.Random, found: Found) -> None:
    moment = rng.choice(MOMENTS)
    weights = _OF_STUDIES if moment in ("trial", "chance") else _OF_CLIENTS
    victim = rng.choices([*weights], [*weights.values()])[0]
    if moment == "trial":
        place.wait_for_a_trial(_LONGEST_WAIT_S)
    elif moment == "chance":
        time.sleep(rng.uniform(0, 3))
    else:
        moments.wait(moment, _LONGEST_WAIT_S)
    time.sleep(rng.uniform(0, 0.03))
    found.kills[place.strike(victim)] += 1
    place.start()


def _finish(place: Place, ledger: Ledger) -> None:
    """Wait until every study has ended; those that lost too many workers are resumed, as a person would."""
    until = time.monotonic() + _FINISH_S
    with place.client(place.token) as http:
        while True:
            waiting = 0
            for study in place.listed(http):
                if study["state"] == State.FAILED and study["reason"] == "LOST":
                    http.post(f"/v1/studies/{study['id']}/resume").raise_for_status()
                elif study["state"] == State.FAILED:
                    ledger.false(f"{study['id']} failed: {study['reason']} {study['message']}")
                waiting += study["state"] not in ENDED or study["reason"] == "LOST"
            if not waiting:
                return
            if time.monotonic() > until:
                ledger.false(f"{waiting} studies do not end")
                return
            time.sleep(0.2)


def _judge(place: Place, ledger: Ledger) -> None:
    found = ledger.found
    with place.client(place.token) as http:
        listed = [study["id"] for study in place.listed(http)]
    with place.database.reading() as connection:
        states = {id: State(state) for id, state in connection.execute(select(StudyRow.id, StudyRow.state))}
        keys = Counter(connection.execute(select(StudyRow.idempotency_key)).scalars())
    if sorted(listed) != sorted(states):
        found.false.append(f"{len(listed)} studies are listed, and {len(states)} are stored")
    found.lost += [f"the key {key} made {count} studies" for key, count in keys.items() if count > 1]
    for study, fate in ledger.fates.items():
        if (study in states) == (fate == "delete"):
            found.lost.append(f"{study}, whose fate was {fate}, is {'there' if study in states else 'not there'}")
        elif fate in ("keep", "resume") and states[study] is not State.SUCCEEDED:
            found.false.append(f"{study}, whose fate was {fate}, is {states[study]}")
    by_request = {place.request(id): ledger.kinds[id] for id in ledger.kinds if id in states}
    for study in (id for id, state in states.items() if state is State.SUCCEEDED):
        kind = ledger.kinds.get(study) or by_request.get(place.request(study))
        if kind is not None:
            found.finished += 1
            found.different += [f"{study}: {what}" for what in differences(place.run_of(study), kind.undisturbed)]
    found.false += falsehoods(place.database, place.studies)
    said = place.said()
    found.false += ["the log holds a traceback"] if "Traceback" in said else []
