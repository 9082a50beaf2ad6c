"""A snapshot: which objects hold the files of a study, all as they were at one moment.

Objects are never written twice, so what a snapshot names never changes. What only grows, as a journal does, consists of
several objects, one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_SCHEMA = 1


@dataclass(frozen=True)
class Part:
    """An object: its name among those of the study, and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Entry:
    """A file: when it changed (seconds since 1970), and its content, one part after the other."""

    modified: float
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return sum(part.size for part in self.parts)

    def pieces(self, start: int, end: int) -> Iterator[tuple[Part, int, int]]:
        """Give what holds the bytes from one position to another: a part, and from where to where in it."""
        before = 0
        for part in self.parts:
            first, last = max(start - before, 0), min(end - before, part.size)
            if first < last:
                yield part, first, last
            before += part.size


@dataclass(frozen=True)
class Snapshot:
    """Files by their paths in the study's folder."""

    files: Mapping[str, Entry] = field(default_factory=dict)

    def objects(self) -> set[str]:
        """Return the names of all objects that it needs."""
        return {part.name for entry in self.files.values() for part in entry.parts}

    def to_json(self) -> bytes:
        """Return it as a JSON text."""
        files = {
            path: [entry.modified, [[part.name, part.size] for part in entry.parts]]
            for path, entry in sorted(self.files.items())
        }
        return json.dumps({"schema": _SCHEMA, "files": files}, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Snapshot:
        """Return what `to_json` made.

        Raises:
            ValueError: if it is none.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("schema") != _SCHEMA:
            raise ValueError(f"It must be a snapshot of schema {_SCHEMA}.")
        return cls(
            {
                path: Entry(modified, tuple(Part(name, size) for name, size in parts))
                for path, (modified, parts) in values["files"].items()
            }
        )


def place_of(files: str) -> str:
    """Return the name of the object that holds the snapshot which the database names `files`."""
    return f"{files}.json"
