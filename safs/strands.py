"""Searches side by side: each asks for trials and learns from them in its own order, and none waits for another."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")

Strand = Generator[None, None, T]
"""A part of a study that starts trials, yields whenever it cannot go on before one more has ended, and returns a T."""


class Trials(Protocol):
    """Runs the trials that strands start."""

    @property
    def has_room(self) -> bool:
        """Whether one more trial could begin at once."""

    def advance(self) -> None:
        """Wait until any trial has ended."""


class NoTrials:
    """Stands for trials where every outcome is known at once, and no strand ever yields."""

    has_room = False

    def advance(self) -> None:
        """Never called.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("nothing is waited for")


def run_strands(strands: Iterable[Strand[T]], trials: Trials) -> list[T]:
    """Let strands go on until all have ended, and return what they come to; one begins when others leave room.

    What a strand comes to depends on its own trials alone, so neither the order in which they end nor the room changes
    a result.
    """
    results: dict[int, T] = {}
    waiting = deque(enumerate(strands))
    active: dict[int, Strand[T]] = {}
    with contextlib.ExitStack() as stack:
        while waiting or active:
            for number, strand in list(active.items()):
                if _proceed(number, strand, results):
                    del active[number]
            while waiting and (not active or trials.has_room):
                number, strand = waiting.popleft()
                stack.callback(strand.close)
                if not _proceed(number, strand, results):
                    active[number] = strand
            if active:
                trials.advance()
    return [results[number] for number in sorted(results)]


def _proceed(number: int, strand: Strand[T], results: dict[int, T]) -> bool:
    """Let a strand go on until it waits; return whether it has ended."""
    try:
        next(strand)
    except StopIteration as ended:
        results[number] = ended.value
        return True
    return False
