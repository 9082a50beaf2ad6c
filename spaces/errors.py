"""The root of every error that a user can cause, and the lookup that suggests what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class SafsError(Exception):
    """Bad input or a broken precondition: one sentence with the invariant, the value and the remedy.

    The command line prints it and exits with `exit_code`.
    """

    exit_code = 2


class UnknownNameError(SafsError):
    """A name that is in no registry; the message lists the choices and the nearest one."""

    def __init__(self, kind: str, name: object, choices: Iterable[str]) -> None:
        self.choices = sorted(choices)
        nearest = nearest_name(name, self.choices)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint} Choices: {', '.join(self.choices)}.")


def nearest_name(name: object, choices: Iterable[str]) -> str | None:
    """Return the choice that is spelled most like `name`, or None if none comes near."""
    close = difflib.get_close_matches(str(name), list(choices), n=1, cutoff=0.5)
    return close[0] if close else None


def lookup(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return `table[name]`.

    Raises:
        UnknownNameError: if `name` is not in the table; the message lists the table's names.
    """
    try:
        return table[name]
    except (KeyError, TypeError):
        raise UnknownNameError(kind, name, table) from None
