"""Something that may take long, done beside the worker's loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """Calls a function in a thread of its own, which keeps nothing from ending.

    Args:
        do: the function.
    """

    def __init__(self, do: Callable[[], T]) -> None:
        self._do = do
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="safs: errand", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether the function has returned or raised."""
        return not self._thread.is_alive()

    def result(self) -> T:
        """Return what the function returned, or raise what it raised; it must be done."""
        assert self.is_done, "who asks has looked"
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def _run(self) -> None:
        try:
            self._result = self._do()
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
