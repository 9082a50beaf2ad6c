"""Searches side by side: each asks for trials and learns from them in its own order, and none waits for another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol


class Strand(Protocol):
    """A part of a study that asks for trials and learns from their outcomes."""

    def proceed(self) -> bool:
        """Do all that can be done without waiting for a trial; return whether the strand has ended."""


class Trials(Protocol):
    """Runs the trials that strands start."""

    @property
    def has_room(self) -> bool:
        """Whether one more trial could begin at once."""

    def advance(self) -> None:
        """Wait until any trial has ended."""


def run_strands(strands: Iterable[Strand], trials: Trials) -> None:
    """Let strands proceed until all have ended; the next begins when the others leave room for trials.

    What a strand comes to depends on its own trials alone, so neither the order in which they end nor the room changes
    a result.
    """
    waiting, active = deque(strands), list[Strand]()
    while waiting or active:
        active = [strand for strand in active if not strand.proceed()]
        while waiting and (not active or trials.has_room):
            strand = waiting.popleft()
            if not strand.proceed():
                active.append(strand)
        if active:
            trials.advance()


class NoTrials:
    """Stands for trials where every outcome is known at once, and no strand ever waits."""

    has_room = False

    def advance(self) -> None:
        """Never called.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("nothing is waited for")
