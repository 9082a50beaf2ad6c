"""Whether what a service says of its studies is true: the database, the files and an undisturbed run must agree."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import select

from safs.service.ids import is_id
from safs.service.states import ENDED, FOLLOWS, State
from safs.service.storage.layout import CONFIG, INPUT, OWNER, RUN
from safs.service.storage.local import LocalStorage
from safs.service.store import events, studies, trials
from safs.service.store.database import Database
from safs.service.store.studies import Study
from safs.service.store.tables import StudyRow

MARK = ".process.json"


def journal(run: Path) -> list[dict[str, Any]]:
    """Return the trials in the journal of a run directory."""
    path = run / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [record for record in map(json.loads, lines) if record["kind"] == "trial"]


def outcomes(run: Path) -> dict[str, Any]:
    """Return what each trial of a run directory came to, but for what no two runs have in common."""
    varying = ("seconds", "peak_memory", "worker", "device_seconds", "queued_seconds")
    found = {}
    for record in journal(run):
        outcome = {name: value for name, value in record["outcome"].items() if name not in varying}
        found[record["id"]] = (record["phase"], record["spec"], outcome)
    return found


def differences(run: Path, undisturbed: Path) -> list[str]:
    """Return in what a finished run directory differs from that of an undisturbed run."""
    found = []
    if not (run / "summary.json").exists():
        return ["there is no summary"]
    if (run / "summary.json").read_bytes() != (undisturbed / "summary.json").read_bytes():
        found.append("the summary is another")
    ours, theirs = outcomes(run), outcomes(undisturbed)
    if ours.keys() != theirs.keys():
        found.append(f"other trials: {sorted(ours.keys() ^ theirs.keys())}")
    found += [f"trial {id} is another" for id in ours.keys() & theirs.keys() if ours[id] != theirs[id]]
    return found


def falsehoods(database: Database, folder: Path) -> list[str]:
    """Return what is not true, after a sweep: of studies and their files, and of files without a study.

    No client may be at work meanwhile; workers may.

    Args:
        database: of the service.
        folder: where its storage lies.
    """
    with database.reading() as connection:
        known = studies.every_id(connection)
    LocalStorage(folder).sweep(known, time.time() + 60)
    found = [f"{name} is left" for name in sorted({path.name for path in folder.iterdir()} - known - {OWNER})]
    for id in sorted(known):
        assert is_id(id), "ids are ours"
        found += [f"{id}: {sentence}" for sentence in _of_study(database, id, folder / id)]
    return found


def _of_study(database: Database, id: str, folder: Path) -> Iterator[str]:
    with database.reading() as connection:  # one view of one moment
        study = studies.get(connection, id)
        now = database.now(connection)
        text = studies.config(connection, id)
        key = connection.execute(select(StudyRow.request).where(StudyRow.id == id)).scalar_one()
        happened = events.since(connection, 0, study_id=id, limit=100_000)
        stored = trials.after(connection, id, 0)
    assert study is not None, "it is known"
    if not key:
        yield "it has no request"
    yield from _of_states(study, now, [event.data["state"] for event in happened if event.kind == "state"])
    yield from _of_files(study, text, folder)
    told = [event.data for event in happened if event.kind == "trial"]
    yield from _of_trials(study, stored, told, folder / RUN)


def _of_states(study: Study, now: float, states: list[str]) -> Iterator[str]:
    if states[:1] != [State.QUEUED]:
        yield f"its first state was told as {states[:1]}"
    for before, after in pairwise(states):
        if State(after) not in FOLLOWS[State(before)]:
            yield f"{after} was told after {before}"
    if states[-1:] != [study.state]:
        yield f"it is {study.state}, but {states[-1:]} was told last"
    leased = (study.lease is not None, study.leased_until is not None, study.worker is not None)
    if leased != (study.state is State.RUNNING,) * 3:
        yield f"it is {study.state}, and its lease is {study.lease}, {study.leased_until}, {study.worker}"
    if study.leased_until is not None and study.leased_until < now:
        yield f"it is {study.state} on a lease that ran out {now - study.leased_until:.1f} s ago"
    if (study.ended is not None) != (study.state in ENDED):
        yield f"it is {study.state}, and ended at {study.ended}"
    if study.cancelling and study.state is not State.RUNNING:
        yield f"it is {study.state} and still to be canceled"
    if (study.summary is not None) != (study.state is State.SUCCEEDED):
        yield f"it is {study.state}, and its summary is {study.summary}"


def _of_files(study: Study, text: str, folder: Path) -> Iterator[str]:
    if not (folder / CONFIG).is_file():
        yield "it is listed without its files"
        return
    if (folder / CONFIG).read_text(encoding="utf-8") != text:
        yield "its config is another in its folder"
    for name, upload in (("checkpoint", study.checkpoint), ("mask", study.mask)):
        files = list((folder / INPUT).glob(f"{name}.*"))
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        if digests != ([upload["sha256"]] if upload else []):
            yield f"its {name} is another in its folder"
    if study.state in ENDED and (folder / MARK).exists():
        yield "it has ended, and a process of it is noted"
    if study.state is State.SUCCEEDED and study.summary is not None:
        rows = json.loads((folder / RUN / "summary.json").read_bytes())["rows"]
        shown = [{"name": row["name"], "test_accuracy": row["test_accuracy"]} for row in rows]
        if study.summary["rows"] != shown:
            yield "the summary in the database is another than in its files"


def _of_trials(
    study: Study, stored: list[Mapping[str, Any]], told: list[Mapping[str, Any]], run: Path
) -> Iterator[str]:
    ids = [trial["id"] for trial in journal(run)]
    if len(set(ids)) != len(ids):
        yield "its journal holds a trial twice"
    if [trial["n"] for trial in stored] != list(range(1, len(stored) + 1)):
        yield "its stored trials are not numbered from 1"
    kept = [trial["id"] for trial in stored]
    # While it runs, and where its worker was lost, the copy may be behind the journal, but never other than it.
    if kept != (ids if study.state is State.SUCCEEDED else ids[: len(kept)]):
        yield f"its {len(kept)} stored trials are others than the {len(ids)} of its journal"
    if told != stored:
        yield f"{len(told)} trials were told, {len(stored)} are stored, or others"
