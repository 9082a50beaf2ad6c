"""A running study on a terminal: a bar per phase, the time left, and a table of the trials that are running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from safs.cli.live_tables import bars, running
from safs.progress.lines import print_plain
from safs.progress.tally import Tally
from safs.spec import TrialSpec

_SHOWN = 16
"""Running trials that have a row of their own, where the terminal has room for as many."""


@contextmanager
def live(console: Console) -> Iterator[LiveView]:
    """Give an observer whose view is drawn anew four times a second, and leave the terminal as it was."""
    view = LiveView(console)
    # What a network prints goes above the view, unless it goes to a file.
    with Live(get_renderable=view.draw, console=console, refresh_per_second=4, redirect_stdout=sys.stdout.isatty()):
        finished = False
        try:
            yield view
            finished = True
        finally:
            view.close(finished)


class LiveView(Tally):
    """Draws what a tally counted. Warnings and lost trials are printed above it.

    Args:
        console: of the terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._closed = self._finished = False

    def warning(self, text: str) -> None:
        print_plain(self._console, f"Warning: {text}")

    def lost(self, spec: TrialSpec, reason: str) -> None:
        super().lost(spec, reason)
        print_plain(self._console, f"Trial {spec.id} was lost, and runs again: {reason}")

    def close(self, finished: bool) -> None:
        """Leave only the bars, and fill them if everything is finished: a phase may have taken less than announced."""
        with self.lock:
            self._closed, self._finished = True, finished
            self.open.clear()
            if finished:
                self.phases.end()

    def draw(self) -> RenderableType:
        """Return what is to be seen now, no higher than the terminal; the locked part of it is copied."""
        width, height = self._console.size
        with self.lock:
            phases = self.phases.shown if self._closed else self.phases.shown[-max(height // 2, 1) :]
            fraction = self.left.fraction()
            if fraction is not None and self._finished:
                fraction = 1.0  # what was expected is the most that there could be
            top = bars(phases, fraction, "" if self._closed else self.left.text(), self.began, width)
            trials = [trial for trial in self.open.values() if trial.worker is not None]
            waiting = len(self.open) - len(trials)
            if not self.open:
                return top
            room = height - len(phases) - 5  # the bar of the whole, an empty line, titles, the rest, the cursor's line
            shown = trials[: min(max(room, 1), _SHOWN)]
            parts: list[RenderableType] = [top, Text()]
            if shown:
                parts.append(running(shown))
            if rest := _rest(len(trials) - len(shown), waiting):
                parts.append(Text(rest, style="dim"))
            return Group(*parts)


def _rest(hidden: int, waiting: int) -> str:
    said = [f"and {hidden} more"] if hidden else []
    return ", ".join([*said, f"{waiting} waiting"] if waiting else said)
