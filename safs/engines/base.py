"""The engine contract."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from safs.outcome import TrialOutcome
from safs.spec import TrialSpec
from safs.trial import Problem


@dataclass(frozen=True)
class Finished:
    """A trial that ended, and the state dict of its network if its spec asked to keep it."""

    spec: TrialSpec
    outcome: TrialOutcome
    trained: dict[str, Tensor] | None


class Engine(abc.ABC):
    """Runs trials; never decides which, and never stores what came of them.

    Args:
        log_path: where the log of a trial goes, by its spec.
    """

    def __init__(self, log_path: Callable[[TrialSpec], Path]) -> None:
        self._log_path = log_path
        self._problems: dict[str, Problem] = {}

    def add_problem(self, name: str, problem: Problem) -> None:
        """Make a problem known to the trials whose spec names it as their `network`."""
        self._problems[name] = problem

    @abc.abstractmethod
    def submit(self, spec: TrialSpec) -> None:
        """Queue a trial."""

    @abc.abstractmethod
    def poll(self) -> Finished | None:
        """Return a trial that has ended, waiting for one if need be; None if none is queued or running."""

    @abc.abstractmethod
    def close(self) -> None:
        """Drop what is queued and give back every resource; may be called twice."""
