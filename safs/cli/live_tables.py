"""The two tables of the live view. Every cell is text as it is: names of workers are not markup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from safs.progress.phases import Phase
from safs.progress.tally import Open


def bars(phases: Sequence[Phase], fraction: float | None, left: str, began: float, width: int) -> Table:
    """Return a bar per phase, and one of all the work.

    Args:
        phases: from the first to the last.
        fraction: how much of all the work is done, in [0, 1], or None if that is not known.
        left: how long the rest may take, in words.
        began: when the study began, in seconds of the monotonic clock.
        width: of the terminal, in columns.
    """
    right = Column(justify="right", no_wrap=True)
    table = Table.grid(Column(), Column(no_wrap=True), right, right.copy(), Column(), padding=(0, 1))
    room = min(max(width - 60, 5), 40)
    for phase in phases:
        total = phase.total
        bar = ProgressBar(total=None if total is None else total or 1, completed=phase.done if total else 1, width=room)
        count = f"{phase.done}/{total}" if total else f"{phase.done or ''}"
        table.add_row(_short(phase.name), bar, count, _passed(phase.began, phase.ended), _short(phase.note))
    if fraction is not None:
        bar = ProgressBar(total=1.0, completed=fraction, width=room)
        table.add_row("all", bar, f"{100 * fraction:.0f} %", _passed(began), _short(left))
    return table


def running(trials: Sequence[Open]) -> Table:
    """Return a row per running trial."""
    table = Table("trial", "phase", box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for title in ("epoch", "train loss"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("worker")
    table.add_column("elapsed", justify="right", no_wrap=True)
    table.columns[0].no_wrap = True
    for trial in trials:
        loss = "" if trial.loss is None else f"{trial.loss:.4f}"
        epoch = f"{trial.epoch}/{trial.epochs}"
        table.add_row(trial.id[:8], _short(trial.title), epoch, loss, _short(trial.worker or ""), _passed(trial.began))
    return table


def _short(text: str) -> Text:
    """Return text that is cut where its column is too narrow."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _passed(began: float, ended: float | None = None) -> str:
    return str(timedelta(seconds=int((time.monotonic() if ended is None else ended) - began)))
