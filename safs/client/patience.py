"""How long a client goes on trying: longer after each failure, by chance so that many clients do not come at once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from safs.client.errors import ServiceError, Unreachable

USUAL = 7
"""Attempts that outlast a server that is started anew."""
FOLLOWING = 10
"""Attempts of what goes on for long."""
_LONGEST_WISH = 10.0
"""Seconds beyond which a server's Retry-After is for people to wait, not for a program that says nothing."""
_log = logging.getLogger(__name__)


class Patience:
    """Counts the failures of one piece of work.

    Args:
        attempts: how many failures in a row end it.
        first, longest: seconds to wait after the first failure, which double with each, and at most.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        attempts: int = USUAL,
        first: float = 0.25,
        longest: float = 8.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._attempts, self._first, self._longest, self._sleep = attempts, first, longest, sleep
        self._failures = 0

    def gained(self) -> None:
        """Note that the work has come forward: failures before do not count any more."""
        self._failures = 0

    def after(self, error: ServiceError | Unreachable) -> None:
        """Wait until it is time for the next attempt.

        Raises:
            ServiceError, Unreachable: the error itself, if another attempt makes no sense, or there were enough.
        """
        self._failures += 1
        wish = error.retry_after or 0.0
        if not error.temporary or self._failures >= self._attempts or wish > _LONGEST_WISH:
            raise error
        if self._failures == 2:  # the first may be over before anybody reads of it
            _log.warning("Trying again for a while: %s", error)
        pause = min(self._first * 2 ** (self._failures - 1), self._longest) * random.uniform(0.5, 1.0)
        self._sleep(max(pause, wish))
