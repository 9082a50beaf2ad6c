"""A study's files on their way from and to the storage, beside everything else that its worker does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safs.service.storage.workplace import Carried, Workplace
from safs.service.worker.errand import Errand
from safs.service.worker.patience import Patience, is_away
from spaces.errors import brief

_NOTHING = Carried(None, 0)


class Carrying:
    """Gets a workplace ready, and takes what is new there to the storage now and then.

    A storage that is away is waited for.

    Args:
        workplace: of the study.

    Attributes:
        is_open: whether the study's files are ready.
        carried: what the storage holds, under this lease.
        is_complete: whether it holds everything, of a study that does not run any more.
        trouble: what is wrong with the storage, or None.
    """

    def __init__(self, workplace: Workplace) -> None:
        self.is_open = False
        self.carried = _NOTHING
        self.is_complete = False
        self.trouble: str | None = None
        self._workplace = workplace
        self._opening: Errand[None] | None = None
        self._errand: Errand[Carried | None] | None = None
        self._is_over = False
        self._is_last = False
        self._patience = Patience(workplace.every)

    def open(self, ours: Callable[[], bool], end: Callable[[Path], None]) -> None:
        """Go on with getting the workplace ready; to be called until it is open.

        Raises:
            GoneError: if there are no files.
        """
        if self._opening is None:
            if self._patience.is_due:
                self._opening = Errand(lambda: self._workplace.open(ours, end))
        elif self._opening.is_done:
            opening, self._opening = self._opening, None
            with self._patience.trying(), self._noticing():
                opening.result()
                self.is_open = True

    def step(self) -> None:
        """Note what has arrived, and take what is new if it is time."""
        if self._errand is None:
            if self.is_open and not self.is_complete and self._patience.is_due:
                self._is_last = self._is_over
                self._errand = Errand(self._workplace.carry)
        elif self._errand.is_done:
            errand, self._errand = self._errand, None
            with self._patience.trying(), self._noticing():
                self._arrived(errand.result())
            if self._is_over and self.trouble is None:
                self._patience.hurry()

    def finish(self) -> None:
        """Take everything that there is now: the study does not run any more."""
        self._is_over = True
        self._patience.hurry()

    def stored(self, carried: Carried) -> None:
        """Note that the database knows of that."""
        self._workplace.confirm(carried)

    def close(self) -> None:
        """Stop, and remove what was only for this lease."""
        self.is_open = False
        self._workplace.close()

    def _arrived(self, carried: Carried | None) -> None:
        if carried is not None:
            self.carried = carried
            self.is_complete = self._is_last

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if is_away(error):
                self.trouble = brief(error)
            raise
        self.trouble = None
