"""What the page draws of a study, made of its trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import yaml

from safs.service.states import State
from safs.service.storage.files import File, Files
from safs.service.store.studies import Study

Trial = Mapping[str, Any]

_SHOWN = ("lr", "optimizer", "schedule", "weight_decay", "momentum")
_SEARCH = ("uniform", "stage1")
"""Each operator everywhere, then the searcher, which goes on from there: the best is the best of both."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is there
_ARMS = ("safs", "stage2")


def picture(study: Study, config: str, trials: Sequence[Trial], files: Files) -> dict[str, Any]:
    """Return the sites, both stages, and the result, as far as they are known.

    Args:
        study: as it is stored.
        config: its YAML.
        trials: all that have ended, in their order.
        files: that it has made.

    Raises:
        OSError: if they cannot be read.
    """
    return {
        "sites": _sites(files.artifact("journal.jsonl")),
        "operators": _operators(config),
        "stage1": _first_stage(trial for trial in trials if trial["phase"] in _SEARCH),
        "stage2": _second_stage(trial for trial in trials if trial["phase"] in _ARMS),
        "chosen": _chosen(files) if study.state is State.SUCCEEDED else None,
        "rows": study.summary["rows"] if study.summary else None,
    }


@lru_cache(256)
def _operators(config: str) -> list[str]:
    return list(yaml.load(config, _Loader)["stage1"]["operators"])


def _sites(journal: File | None) -> list[dict[str, str]]:
    """Return the activation sites, which the journal describes before the search begins; none before that."""
    for line in _lines(journal) if journal is not None else ():
        if b'"kind": "problem"' in line[:40]:
            return [{"name": site["name"], "original": site["operator"]} for site in json.loads(line)["sites"]]
    return []


def _lines(file: File) -> Iterator[bytes]:
    """Give the complete lines of a file; no more of it is read than is asked for."""
    rest = b""
    for chunk in file.chunks(0, file.size):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _chosen(files: Files) -> list[str] | None:
    found = files.artifact("best/activations.json")
    if found is None:
        return None
    return [site["operator"] for site in json.loads(found.read(0, found.size))["sites"]]


def _first_stage(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Return the curve: each trial, and the best cost so far."""
    curve, best = [], None
    for trial in trials:
        cost = trial["cost"]
        if cost is not None and (best is None or cost < best):
            best = cost
        kept = {key: trial[key] for key in ("n", "id", "phase", "cost", "assignment", "status", "reason")}
        curve.append(kept | {"best": best})
    return curve


def _second_stage(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Return the suggestions: each a trial per fold, and its cost their mean, as far as it is known."""
    suggestions: dict[str, list[Trial]] = {}
    for trial in trials:
        key = json.dumps([trial["phase"], trial["assignment"], trial["protocol"]], sort_keys=True)
        suggestions.setdefault(key, []).append(trial)
    return [_suggestion(folds) for folds in suggestions.values()]


def _suggestion(folds: Sequence[Trial]) -> dict[str, Any]:
    first = folds[0]
    costs = [trial["cost"] for trial in folds]
    failed = next((trial for trial in folds if trial["cost"] is None), None)
    return {
        "id": first["id"],
        "phase": first["phase"],
        "cost": sum(costs) / len(costs) if failed is None else None,
        "folds": len(folds),
        **{name: first["protocol"].get(name) for name in _SHOWN},
        "status": failed["status"] if failed else first["status"],
        "reason": failed["reason"] if failed else None,
    }
