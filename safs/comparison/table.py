"""A tabular benchmark: what every assignment of a small space costs, trained once and replayed as often as needed."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safs.config.schema import Config
from safs.files import to_json, write_atomically
from safs.outcome import Reason, Status, TrialOutcome
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError, brief, shown

SCHEMA = 1
LARGEST = 2**16
"""The most assignments of a table."""
_LARGEST_COST = 1e100
"""The greatest magnitude of a cost, so that sums and squares of costs are numbers."""
_FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Table:
    """The cost of every assignment of a space.

    Attributes:
        space: the assignments.
        outcomes: of all of them, in the order of the space, each a cost or the reason of a failure.
        config: the config of the study that they were trained for, as JSON values.
        made_with: the device and the versions of the packages that trained them.

    Raises:
        SafsError: if there are more or fewer outcomes than assignments, or every assignment failed.
    """

    space: AssignmentSpace
    outcomes: tuple[float | Reason, ...]
    config: Mapping[str, Any]
    made_with: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.outcomes) != self.space.size:
            raise SafsError(f"A table of {self.space.size} assignments has {len(self.outcomes)} outcomes.")
        if all(isinstance(outcome, Reason) for outcome in self.outcomes):
            raise SafsError("Every assignment of the table failed, so there is nothing to search.")

    def start(self, assignment: Assignment) -> None:
        """Do nothing: all outcomes are known."""

    def outcome(self, assignment: Assignment) -> TrialOutcome:
        """Return the outcome of an assignment."""
        number = 0
        for name in self.space.check(assignment):
            number = number * len(self.space.operators) + self.space.operators.index(name)
        outcome = self.outcomes[number]
        if isinstance(outcome, Reason):
            return TrialOutcome(Status.FAILED, reason=outcome)
        return TrialOutcome(Status.SUCCEEDED, cost=outcome)

    @property
    def costs(self) -> list[float]:
        """The costs of all assignments, infinity where one failed."""
        return [math.inf if isinstance(outcome, Reason) else outcome for outcome in self.outcomes]

    def write(self, path: Path) -> None:
        """Write the table to a JSON file."""
        content = {
            "schema": SCHEMA,
            "sites": list(self.space.sites),
            "operators": list(self.space.operators),
            "config": dict(self.config),
            "made_with": dict(self.made_with),
        }
        costs = ",\n".join(json.dumps(cost, allow_nan=False) for cost in self.outcomes)  # one a line
        head = to_json(content).removesuffix("\n}\n")
        write_atomically(path, f'{head},\n  "costs": [\n{costs}\n]}}\n')


def check_writable(path: Path) -> None:
    """Check that a table can be written to a file, which is new or a table.

    Raises:
        SafsError: if it is another file or a folder, or nothing can be written where it lies.
    """
    if os.path.lexists(path):
        try:
            read_table(path)
        except SafsError:
            raise SafsError(f"{path} exists already, is no table, and is left as it is; name another file.") from None
    parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise SafsError(f"The table {path} cannot be written in {parent} ({error.strerror}); name another.") from None


def shipped_tables() -> list[str]:
    """Return the names of the tables that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def find_table(name: str) -> Table:
    """Return a table that comes with the package, by name, or that of a file.

    Raises:
        SafsError: if there is none, or it is damaged, or the name is none.
    """
    if not name or not name.isprintable():
        raise SafsError(f"A table has a name of printable characters, but got {shown(name)}.")
    return read_table(_FOLDER / f"{name}.json" if name in shipped_tables() else Path(name))


def read_table(path: Path) -> Table:
    """Return the table in a file that `safs tabulate` wrote.

    Raises:
        SafsError: if there is none, or it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SafsError(
            f"There is no table {path}; known: {', '.join(shipped_tables())}, or a file that `safs tabulate` wrote."
        ) from None
    except OSError as error:
        raise SafsError(f"The table {path} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise SafsError(
            f"{path} is no table, which is a JSON file that `safs tabulate` wrote: {brief(error)}"
        ) from None
    if not isinstance(content, dict) or type(content.get("schema")) is not int or content["schema"] != SCHEMA:
        raise SafsError(f"{path} is no table of schema {SCHEMA}, a JSON file that `safs tabulate` wrote.")
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, SafsError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else brief(error)
        raise SafsError(f"The table {path} is damaged ({said}); make it again.") from error


def _parse(content: Mapping[str, Any]) -> Table:
    for key in ("sites", "operators"):
        names = content[key]
        if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
            raise ValueError(f"`{key}` is no list of names")
    for key, kind in (("costs", list), ("config", dict), ("made_with", dict)):
        if not isinstance(content[key], kind):
            raise TypeError(f"`{key}` is no {kind.__name__}")
    json.dumps([content["config"], content["made_with"]], ensure_ascii=False).encode()  # lone surrogates are no text
    if len(content["operators"]) ** min(len(content["sites"]), 17) > LARGEST:
        raise ValueError(f"a table has at most {LARGEST} assignments")
    table = Table(
        space=AssignmentSpace(content["sites"], content["operators"]),
        outcomes=tuple(Reason(cost) if isinstance(cost, str) else _finite(cost) for cost in content["costs"]),
        config=content["config"],
        made_with=content["made_with"],
    )
    if Config.from_mapping(content["config"]).stage1.operators != table.space.operators:
        raise ValueError("`operators` are not those of its config")
    return table


def _finite(cost: object) -> float:
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not abs(cost) <= _LARGEST_COST:
        raise ValueError(
            f"a cost must be a finite number of at most {_LARGEST_COST:g}, or the reason of a failure, but is "
            f"{cost!r:.50}"
        )
    return float(cost)
