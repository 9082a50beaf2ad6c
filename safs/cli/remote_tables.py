"""Studies of a service on a terminal. Every cell is text as it is, and harmless: names are not markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from safs.client.errors import printable
from safs.client.records import Progress, Study
from safs.report.text import NONE, duration

_COLOURS = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "red", "CANCELED": "yellow"}


def studies_table(studies: Sequence[Study]) -> Table:
    """Return a row per study. Where there is little room, names get less of it."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for title in ("id", "name", "state", "done", "network", "data", "created"):
        named = title in ("name", "network", "data")
        table.add_column(title, no_wrap=not named, justify="right" if title == "done" else "left")
    for study in studies:
        row = (study.id, study.name, state_text(study), _done(study.progress), study.model, study.data)
        table.add_row(*map(_cell, row), _cell(_local(study.created)[5:]))
    return table


def study_view(study: Study) -> Group:
    """Return what there is to say of one study."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    facts: dict[str, str | Text | None] = {
        "id": study.id,
        "name": study.name,
        "state": state_text(study),
        "why": study.message,
        "network": study.model,
        "data": study.data,
        "searcher": study.searcher,
        "priority": str(study.priority),
        "owner": study.owner,
        "created": _local(study.created),
        "started": _local(study.started),
        "ended": _local(study.ended),
        "attempts": str(study.attempts) if study.attempts > 1 else None,
        "checkpoint": f"sha256 {study.checkpoint.get('sha256')}" if study.checkpoint else None,
    }
    for title, fact in facts.items():
        if fact:
            table.add_row(title, _cell(fact, wrap=True))
    parts: list[RenderableType] = [table]
    if study.progress and not study.has_ended:
        parts += [Text(), progress_view(study.progress)]
    if study.summary:
        parts += [Text(), _rows(study.summary)]
    return Group(*parts)


def progress_view(progress: Progress) -> Group:
    """Return a bar, the time left, and a row per running trial."""
    line = Table.grid(padding=(0, 1))
    left = "" if progress.seconds_left is None else f"about {duration(progress.seconds_left)} left"
    bar = ProgressBar(total=1.0, completed=progress.done or 0.0, width=30)
    line.add_row(_cell(progress.phase), bar, _done(progress), f"{progress.trials} trials", left)
    if not progress.running:
        return Group(line)
    table = Table("trial", "phase", "worker", box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for title in ("epoch", "train loss"):
        table.add_column(title, justify="right", no_wrap=True)
    for trial in progress.running:
        loss = "" if trial.loss is None else f"{trial.loss:.4f}"
        row = (trial.id[:8], trial.phase, trial.worker, f"{trial.epoch}/{trial.epochs}", loss)
        table.add_row(*map(_cell, row))
    return Group(line, Text(), table)


def state_text(study: Study) -> Text:
    """Return the state, with the reason of a failure."""
    words = f"{study.state} ({study.reason})" if study.reason else study.state
    if study.cancelling and not study.has_ended:
        words += ", cancelling"
    return Text(printable(words), style=_COLOURS.get(study.state, ""))


def _rows(summary: Mapping[str, Any]) -> Table:
    table = Table("Row")
    table.add_column("Test accuracy", justify="right", no_wrap=True)
    for row in summary.get("rows", ()):
        accuracy = row.get("test_accuracy") or {}
        mean, std, n = accuracy.get("mean"), accuracy.get("std"), accuracy.get("n") or 1
        words = NONE if mean is None else f"{mean:.1f} ± {std or 0.0:.1f} %" if n > 1 else f"{mean:.1f} %"
        table.add_row(_cell(row.get("name")), words, style="bold" if row.get("name") == "safs" else None)
    return table


def _cell(value: str | Text | None, wrap: bool = False) -> Text:
    if isinstance(value, Text):
        return value
    return Text(printable(value or ""), no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")


def _done(progress: Progress | None) -> Text:
    """Return whole percent as the page does, never 100 before the end."""
    return Text("" if progress is None or progress.done is None else f"{int(100 * progress.done)} %")


def _local(time: str | None) -> str:
    """Return a time of the service in this machine's time zone."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else ""
    except ValueError:
        return str(time)
