"""The engine contract."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from safs.config.resources import ResourcesConfig
from safs.observer import Observer
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
        resources: what trials may use.
        log_path: where the log of a trial goes, by its spec.
        observer: is told which trials begin, get on, and are lost.

    Raises:
        SafsError: if it cannot have what `resources` asks for.
    """

    @abc.abstractmethod
    def __init__(self, resources: ResourcesConfig, log_path: Callable[[TrialSpec], Path], observer: Observer) -> None:
        """Make an engine."""

    @property
    @abc.abstractmethod
    def device(self) -> str:
        """What trials train on, such as "cpu" or the name of a GPU: it decides the last bits of their outcomes."""

    @property
    @abc.abstractmethod
    def room(self) -> int:
        """How many trials can run at a time, as things are."""

    @abc.abstractmethod
    def add_problem(self, name: str, problem: Problem) -> None:
        """Make a problem known to the trials whose spec names it as their `network`."""

    @abc.abstractmethod
    def submit(self, spec: TrialSpec, *, background: bool = False) -> None:
        """Queue a trial; one in the background waits as long as others do."""

    @abc.abstractmethod
    def hurry(self, spec: TrialSpec) -> None:
        """Let a trial that waits in the background wait as others do; nothing happens if it runs."""

    @abc.abstractmethod
    def poll(self) -> Finished | None:
        """Return a trial that has ended, waiting for one if need be; None if none is queued or running."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Stop every trial, queued or running; those that had ended by then can still be polled."""

    @abc.abstractmethod
    def close(self) -> None:
        """Cancel, and give back every resource; may be called twice."""
