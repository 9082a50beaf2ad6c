"""Uploads that are under way: they take room before they wait in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safs.service.store.submissions import LimitError


class UnderWay:
    """Counts the uploads of each token. Used by the event loop alone."""

    def __init__(self) -> None:
        self._keys: dict[int, list[str | None]] = {}

    @contextmanager
    def one_more(self, token_id: int, key: str | None, most: int) -> Iterator[None]:
        """Count one more, as long as it takes.

        Args:
            token_id: whose.
            key: its Idempotency-Key; what is sent again, as it was cut off, is let in beside what was cut off.
            most: how many may be under way; at least one always may, since what waits is counted elsewhere.

        Raises:
            LimitError: if too many are.
        """
        keys = self._keys.setdefault(token_id, [])
        others = len(keys) - (key is not None and key in keys)
        if others >= max(1, most):
            raise LimitError(f"{others} of your uploads are under way already, and {most} may; try again later.")
        keys.append(key)
        try:
            yield
        finally:
            keys.remove(key)
            if not keys:
                del self._keys[token_id]
