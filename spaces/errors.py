"""The root of every error that a user can cause, the lookup that suggests what was meant, and how files are quoted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_LONGEST = 100
"""Characters of a file's own that a message shows."""


class SafsError(Exception):
    """Bad input or a broken precondition: one sentence with the invariant, the value and the remedy.

    The command line prints it and exits with `exit_code`.
    """

    exit_code = 2


class UnknownNameError(SafsError):
    """A name that is in no registry; the message lists the choices and the nearest one."""

    def __init__(self, kind: str, name: object, choices: Iterable[str]) -> None:
        self.kind = kind
        self.choices = sorted(choices)
        nearest = nearest_name(name, self.choices)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint} Choices: {', '.join(self.choices)}.")


def shown(name: str) -> str:
    """Return a name from a file as it is printed: quoted, without control characters, and cut where it is long."""
    return ascii(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def brief(error: BaseException) -> str:
    """Return what an error says, which may quote a file: its first line, printable, and cut where it is long.

    The name of its type stands for one that says nothing.
    """
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    cut = line if len(line) <= 2 * _LONGEST else f"{line[: 2 * _LONGEST]}..."
    return "".join(character if character.isprintable() else "?" for character in cut)


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
