"""A tabular benchmark: what every assignment of a small space costs, trained once and replayed as often as one likes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safs.files import to_json, write_atomically
from searchers.base import Outcome
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError

SCHEMA = 1


@dataclass(frozen=True)
class Table:
    """The cost of every assignment of a space.

    Attributes:
        space: the assignments.
        original: the assignment that the network came with.
        costs: of all of them, in the order of the space, None where one failed.
        epochs: how long each was trained.
        config: the config of the study that it was made by.
    """

    space: AssignmentSpace
    original: Assignment
    costs: tuple[float | None, ...]
    epochs: int
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.costs) != self.space.size:
            raise SafsError(f"A table of {self.space.size} assignments has {len(self.costs)} costs.")

    def cost(self, assignment: Sequence[str]) -> float | None:
        """Return what an assignment costs, or None if it failed."""
        number = 0
        for name in self.space.check(assignment):
            number = number * len(self.space.operators) + self.space.operators.index(name)
        return self.costs[number]

    def evaluate(self, assignments: Sequence[Assignment]) -> list[float | None]:
        """Return what assignments cost."""
        return [self.cost(assignment) for assignment in assignments]

    def best(self, share: float) -> float:
        """Return the cost that the best `share` of the assignments that did not fail have at most."""
        known = sorted(cost for cost in self.costs if cost is not None)
        if not known:
            raise SafsError("Every assignment of the table failed.")
        return known[max(0, int(share * len(known)) - 1)]

    def write(self, path: Path) -> None:
        """Write the table to a JSON file."""
        content = {
            "schema": SCHEMA,
            "sites": list(self.space.sites),
            "operators": list(self.space.operators),
            "original": list(self.original),
            "epochs": self.epochs,
            "config": dict(self.config),
            "costs": list(self.costs),
        }
        write_atomically(path, to_json(content))


def read_table(path: Path) -> Table:
    """Return the table in a file that `safs tabulate` wrote.

    Raises:
        SafsError: if there is none, or it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SafsError(f"There is no table at {path}; make one with safs tabulate.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SafsError(f"The table {path} cannot be read: {error}.") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise SafsError(f"The table {path} must have schema {SCHEMA}.")
    try:
        space = AssignmentSpace(content["sites"], content["operators"])
        costs = tuple(Outcome(cost).cost for cost in content["costs"])
        return Table(space, space.check(content["original"]), costs, int(content["epochs"]), dict(content["config"]))
    except (KeyError, TypeError, ValueError, SafsError) as error:
        raise SafsError(f"The table {path} is damaged ({type(error).__name__}: {error}).") from error
