"""Watch a study of a service until it has ended: a view on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from safs.cli.remote_tables import progress_view, state_text
from safs.client.client import Client
from safs.client.errors import ServiceError, printable
from safs.client.records import Event, Progress, Study, Trial
from safs.interrupts import INTERRUPTED, raising
from safs.progress.lines import print_plain


def watch(client: Client, study: Study) -> Study:
    """Show what happens until a study has ended, and return it then.

    Ctrl-C ends the command with exit code 130, and not the study.
    """
    if study.has_ended:
        return study
    try:
        with raising(), ExitStack() as stack:
            told = _view(Console(stderr=True), study, stack)
            for event in client.events(study.id):
                _tell(told, event)
    except KeyboardInterrupt:
        typer.echo(f"The study goes on without you; watch it again: safs status {study.id} --watch", err=True)
        raise typer.Exit(INTERRUPTED) from None
    return client.study(study.id)


def _tell(told: Callable[[Event], None], event: Event) -> None:
    try:
        told(event)
    except (KeyError, TypeError, AttributeError):
        raise ServiceError(f"The service sent an event {event.type!r} that is not understood.", 502) from None


def _view(console: Console, study: Study, stack: ExitStack) -> Callable[[Event], None]:
    if not console.is_terminal:
        return _Lines(console).told
    view = _View(study)
    stack.enter_context(Live(get_renderable=view.draw, console=console, refresh_per_second=4, transient=True))
    return view.told


class _Lines:
    """One line per change of state, phase and trial that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""

    def told(self, event: Event) -> None:
        """Print what an event says."""
        if event.type == "state":
            words = [event.data["state"], event.data.get("reason"), event.data.get("message")]
            self._print(": ".join(word for word in words if word))
        elif event.type == "progress" and event.data and event.data["phase"] != self._phase:
            self._phase = event.data["phase"]
            self._print(self._phase)
        elif event.type == "trial":
            self._print(_trial(Trial.from_json(event.data)), indent="  ")

    def _print(self, line: str, indent: str = "") -> None:
        print_plain(self._console, indent + printable(line))


class _View:
    """A study as the events until now tell it, drawn anew four times a second."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._latest = ""

    def told(self, event: Event) -> None:
        """Note what an event says."""
        if event.type == "state":
            self._study = replace(self._study, state=event.data["state"], reason=event.data.get("reason"))
        elif event.type == "progress":
            progress = Progress.from_json(event.data) if event.data else None
            self._study = replace(self._study, progress=progress)
        elif event.type == "trial":
            self._latest = _trial(Trial.from_json(event.data))

    def draw(self) -> Group:
        """Return what is to be seen now."""
        study = self._study
        parts = [Text.assemble(f"{study.id}  {printable(study.name)}  ", state_text(study))]
        if self._latest:
            parts.append(Text(f"latest: {self._latest}", style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts, *([progress_view(study.progress)] if study.progress else []))


def _trial(trial: Trial) -> str:
    result = f"cost {trial.cost:.4f}" if trial.cost is not None else trial.reason or ""
    seconds = "" if trial.seconds is None else f" in {trial.seconds:.1f} s"
    return printable(f"{trial.n} {trial.phase} {trial.id} {trial.status} {result}{seconds}")
