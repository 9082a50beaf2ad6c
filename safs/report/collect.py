"""From a run directory to one frozen record, `Run`: everything that a report says comes from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safs.config.schema import Config
from safs.outcome import TrialOutcome
from safs.protocol import Protocol
from safs.report.rows import Row, read_rows
from safs.spec import TrialSpec
from safs.summary import SCHEMA, read_summary
from spaces.errors import SafsError

T = TypeVar("T")


_PHASES = ("dense", "prune", "uniform", "stage1", "finalists", "safs", "stage2", "final")
"""What trials are journalled for, in the order of a study."""


@dataclass(frozen=True)
class Trial:
    """One line of the journal."""

    phase: str
    spec: TrialSpec
    outcome: TrialOutcome


@dataclass(frozen=True)
class SiteResult:
    """What stands at a site; α, β and constants are lists where they are per channel, None where nothing trained."""

    name: str
    original: str
    operator: str
    alpha: float | Sequence[float] | None
    beta: float | Sequence[float] | None
    constants: Mapping[str, float | Sequence[float]]


@dataclass(frozen=True)
class Run:
    """A finished study.

    Attributes:
        folder, config, config_text: the run directory; its config, and that as YAML.
        summary, rows: `summary.json` and its table.
        problem: the network, its sites and mask, as `safs inspect -o json` has them.
        inputs: device, versions and fingerprints of what the study read; empty in a run directory without them.
        seeds: for each row, the test accuracies of its seeds in percent.
        trials: every trial, by phase, and in the order in which each phase asked for them.
        sites: what was found; `exported` says whether it is from `best/`, or only names of operators.
    """

    folder: Path
    config: Config
    config_text: str
    summary: Mapping[str, Any]
    rows: Mapping[str, Row]
    problem: Mapping[str, Any]
    inputs: Mapping[str, Any]
    seeds: Mapping[str, Sequence[float]]
    trials: Sequence[Trial]
    sites: Sequence[SiteResult]
    exported: bool

    @property
    def original(self) -> tuple[str, ...]:
        """The operators that the network came with."""
        return tuple(site["operator"] for site in self.problem["sites"])

    @property
    def found(self) -> tuple[str, ...]:
        """The operators that stage 1 found."""
        return tuple(self.summary["assignment"].values())

    @property
    def mask(self) -> Mapping[str, Any]:
        """The description of the mask."""
        return self.problem.get("mask") or {}

    @property
    def once(self) -> list[Trial]:
        """The trials, each spec once: one whose kept network was lost is run, and journalled, again."""
        return list({trial.spec: trial for trial in self.trials}.values())


def collect(folder: Path) -> Run:
    """Read a run directory.

    Raises:
        SafsError: if the study has not ended, or a file is missing or damaged.
    """
    if not folder.is_dir():
        raise SafsError(f"There is no run directory at {folder}.")
    summary = _checked_summary(folder)
    config_path, journal_path = folder / "config.yaml", folder / "journal.jsonl"
    config = Config.from_yaml(config_path)
    records = read_journal(journal_path)
    problem = _only(records, "problem", journal_path)
    scores = _only(records, "test", journal_path)["scores"]
    sites = _parse(folder / "best" / "activations.json", lambda: _sites(folder, summary, problem))
    return Run(
        folder=folder,
        config=config,
        config_text=config_path.read_text(encoding="utf-8"),
        summary=summary,
        rows=_parse(folder / "summary.json", lambda: read_rows(summary)),
        problem=problem,
        inputs=next((record for record in records if record["kind"] == "inputs"), {}),
        seeds=_parse(
            journal_path, lambda: {name: [100 * score["accuracy"] for score in row] for name, row in scores.items()}
        ),
        trials=_parse(journal_path, lambda: [_trial(record) for record in _as_asked(records)]),
        sites=sites,
        exported=_activations(folder) is not None,
    )


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal without locking or mending it: it may lie on a disk that is read-only.

    Raises:
        SafsError: if there is none, or a line other than a torn last one is damaged.
    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise SafsError(f"There is no {path}: a report needs the whole run directory; copy it again.") from None
    except OSError as error:
        raise SafsError(f"{path} cannot be read: {error.strerror}.") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            record["kind"]
        except (ValueError, TypeError, KeyError):
            raise SafsError(f"Line {number} of {path} is damaged; restore the file.") from None
        records.append(record)
    return records


def _checked_summary(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    path = folder / "summary.json"
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
        raise SafsError(f"{path} must have schema {SCHEMA}; `safs run --resume` writes it anew.")
    wrong = [key for key in ("rows", "assignment", "stage2") if not summary.get(key)]
    if wrong:
        raise SafsError(f"{path} is damaged: it has no {wrong[0]!r}; `safs run --resume` writes it anew.")
    return summary


def _only(records: Sequence[Mapping[str, Any]], kind: str, path: Path) -> Mapping[str, Any]:
    for record in records:
        if record["kind"] == kind:
            return record
    raise SafsError(f"{path} has no record of the kind {kind!r}: the study has not ended; `safs run --resume` ends it.")


def _as_asked(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records of trials by phase, and those of a phase in the order in which it asked for them."""
    trials = [record for record in records if record["kind"] == "trial"]
    return sorted(trials, key=lambda record: (_PHASES.index(record["phase"]), record.get("number", 0)))


def _trial(record: Mapping[str, Any]) -> Trial:
    values = dict(record["spec"])
    values |= {"assignment": tuple(values["assignment"]), "protocol": Protocol(**values["protocol"])}
    return Trial(record["phase"], TrialSpec(**values), TrialOutcome.from_json(record["outcome"]))


def _activations(folder: Path) -> dict[str, Any] | None:
    """Return what `best/activations.json` holds, or None if every seed of the found network failed."""
    path = folder / "best" / "activations.json"
    if not path.exists():
        return None
    activations: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return activations


def _sites(folder: Path, summary: Mapping[str, Any], problem: Mapping[str, Any]) -> list[SiteResult]:
    activations = _activations(folder)
    if activations is None:
        original = {site["name"]: site["operator"] for site in problem["sites"]}
        return [SiteResult(site, original[site], name, None, None, {}) for site, name in summary["assignment"].items()]
    return [
        SiteResult(
            entry["site"], entry["original"], entry["operator"], entry["alpha"], entry["beta"], entry["constants"]
        )
        for entry in activations["sites"]
    ]


def _parse(path: Path, read: Callable[[], T]) -> T:
    """Return `read()`; what it stumbles over is damage in the file at `path`."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise SafsError(f"{path} is damaged ({type(error).__name__}: {error}); restore the file.") from error
