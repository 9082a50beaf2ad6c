"""Trials that wait to be run: in order, those in the background after all others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TrialQueue(Generic[T]):
    """First in, first out, in two classes."""

    def __init__(self) -> None:
        self._foreground: deque[T] = deque()
        self._background: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._foreground) + len(self._background)

    def put(self, item: T, *, background: bool = False) -> None:
        """Add at the end."""
        (self._background if background else self._foreground).append(item)

    def put_back(self, item: T) -> None:
        """Add before all others."""
        self._foreground.appendleft(item)

    def hurry(self, wanted: Callable[[T], bool]) -> None:
        """Take what is wanted out of the background."""
        for item in [item for item in self._background if wanted(item)]:
            self._background.remove(item)
            self._foreground.append(item)

    @property
    def first(self) -> T:
        """The next.

        Raises:
            IndexError: if there is none.
        """
        return (self._foreground or self._background)[0]

    def take(self) -> T:
        """Remove and return the next.

        Raises:
            IndexError: if there is none.
        """
        return (self._foreground or self._background).popleft()

    def clear(self) -> None:
        """Remove all."""
        self._foreground.clear()
        self._background.clear()
