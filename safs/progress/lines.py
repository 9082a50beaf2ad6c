"""A running study in plain lines: where there is no terminal, or where every line is asked for."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from safs.observer import Silent
from safs.outcome import TrialOutcome
from safs.progress.tally import Tally
from safs.spec import TrialSpec


def print_plain(console: Console, line: str) -> None:
    """Print a line as it is, however long: nothing in it is markup."""
    console.print(Text(line), soft_wrap=True)


class Warnings(Silent):
    """One line per warning, and nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def warning(self, text: str) -> None:
        print_plain(self._console, f"Warning: {text}")


class Lines(Tally):
    """One line per warning, phase, trial that ended and trial that was lost.

    Args:
        console: where they go.
        every_epoch: also one per trial that starts, and per epoch.
    """

    def __init__(self, console: Console, every_epoch: bool) -> None:
        super().__init__()
        self._console = console
        self._every_epoch = every_epoch

    def warning(self, text: str) -> None:
        self._print(f"Warning: {text}")

    def phase(self, name: str, trials: int) -> None:
        super().phase(name, trials)
        self._print(f"{name}: up to {trials} trials" if trials else name, self.left.text())

    def started(self, spec: TrialSpec, worker: str) -> None:
        super().started(spec, worker)
        if self._every_epoch:
            self._print(f"  {self._name(spec)} started on {worker}")

    def epoch(self, spec: TrialSpec, epoch: int, loss: float) -> None:
        super().epoch(spec, epoch, loss)
        if self._every_epoch:
            of = self.open[spec].epochs if spec in self.open else spec.protocol.epochs
            self._print(f"  {self._name(spec)} epoch {epoch}/{of} train loss {loss:.4f}", self.left.text())

    def lost(self, spec: TrialSpec, reason: str) -> None:
        super().lost(spec, reason)
        self._print(f"  {self._name(spec)} lost, and runs again: {reason}")

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        note = self.ended(phase, spec, outcome, cached).note
        result = f"cost {outcome.cost:.4f}" if outcome.cost is not None else f"{outcome.reason}"
        known = ", known already" if cached else f" in {outcome.seconds:.1f} s"
        self._print(f"  {phase} {spec.id} {outcome.status.value} {result}{known}", note, self.left.text())

    def _name(self, spec: TrialSpec) -> str:
        trial = self.open.get(spec)
        return f"{trial.phase} {spec.id}".lstrip() if trial else spec.id

    def _print(self, *parts: str) -> None:
        passed = time.monotonic() - self.began
        print_plain(self._console, f"{passed:7.1f} s  {'; '.join(part for part in parts if part)}")
