"""What a running study shows: one bar per phase on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from safs.outcome import TrialOutcome
from safs.runner import Observer
from safs.spec import TrialSpec


@contextmanager
def progress() -> Iterator[Observer]:
    """Give an observer that suits stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield Bars(bars)


class _Watcher:
    """Counts the trials of a phase and remembers its best cost."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._best: float | None = None

    def _note(self, outcome: TrialOutcome) -> str:
        if outcome.cost is not None:
            self._best = outcome.cost if self._best is None else min(self._best, outcome.cost)
        return "" if self._best is None else f"best cost {self._best:.4f}"


class Bars(_Watcher):
    """One progress bar per phase."""

    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._task: TaskID | None = None

    def warning(self, text: str) -> None:
        self._bars.console.print(f"Warning: {text}", highlight=False, soft_wrap=True, markup=False)

    def phase(self, name: str, trials: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, total=self._bars.tasks[self._task].completed)
            self._bars.stop_task(self._task)
        self._best = None
        self._task = self._bars.add_task(name, total=trials or None, note="")

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        if self._task is not None:
            self._bars.update(self._task, advance=1, note=self._note(outcome))


class Lines(_Watcher):
    """One line per phase and per trial."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def warning(self, text: str) -> None:
        self._print(f"Warning: {text}")

    def phase(self, name: str, trials: int) -> None:
        self._best = None
        self._print(f"{name}: up to {trials} trials" if trials else name)

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        result = f"cost {outcome.cost:.4f}" if outcome.cost is not None else f"{outcome.reason}"
        known = ", known already" if cached else f" in {outcome.seconds:.1f} s"
        self._print(f"  {phase} {spec.id} {outcome.status.value} {result}{known}; {self._note(outcome)}")

    def _print(self, line: str) -> None:
        passed = time.monotonic() - self._began
        self._console.print(f"{passed:7.1f} s  {line}", highlight=False, soft_wrap=True, markup=False)
