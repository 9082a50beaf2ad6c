"""The ask/tell contract: a searcher proposes suggestions and learns from outcomes.

Ids count the asks from 0. Several suggestions may be pending; an outcome that is told early is held back until every
earlier one is known, so the algorithm sees outcomes in ask order. What `ask` returns is thus a function of the seed
and of how many outcomes had been applied at each ask. A study gets the same search whichever trial ends first if it
runs in batches, or if before each further ask it tells the oldest pending outcome and no other: one that was told
early is applied together with the oldest, so that the next ask sees it, too.

The whole record is the list of suggestions and the outcomes by id; what is pending or held back follows from it.
"""

from __future__ import annotations

import abc
import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError

SCHEMA = 1
"""Version of what `state_dict` returns."""
REDRAWS = 64
"""Draws of a random assignment before the unseen ones are enumerated."""
ENUMERATED = 2**16
"""Most unseen assignments that an enumeration chooses among."""
LONGEST = 10**6
"""Most entries that an option may ask for, such as those of a history: they are kept in memory."""


class ExhaustedError(SafsError):
    """Every assignment of the space has been proposed: the normal end of a search, not a failure."""


class TellError(SafsError):
    """An outcome for a suggestion that is not pending."""


@dataclass(frozen=True)
class Suggestion:
    """What a searcher proposes: an assignment, and the id under which to tell its outcome."""

    id: int
    assignment: Assignment


@dataclass(frozen=True)
class Outcome:
    """What a trial came to: a finite cost, which is minimised, or None if the trial failed.

    Raises:
        SafsError: if the cost is not a finite number; a trial that ends in NaN has failed.
    """

    cost: float | None

    def __post_init__(self) -> None:
        cost: object = self.cost
        if cost is None:
            return
        if not isinstance(cost, Real) or isinstance(cost, bool) or not math.isfinite(cost):
            raise SafsError(f"A cost must be a finite number, or None for a failed trial, but got {cost!r}.")
        object.__setattr__(self, "cost", float(cost))

    @property
    def failed(self) -> bool:
        """Whether the trial failed."""
        return self.cost is None


def checked_integer(option: str, value: object, *, minimum: int, maximum: float = math.inf) -> int:
    """Return `value` as an int.

    Raises:
        SafsError: if it is no integer, less than `minimum` or greater than `maximum`.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not minimum <= int(value) <= maximum:
        most = "" if maximum == math.inf else f" and at most {maximum}"
        raise SafsError(f"{option!r} must be an integer of at least {minimum}{most}, but got {value!r}.")
    return int(value)


def checked_number(option: str, value: object, *, minimum: float, maximum: float = math.inf) -> float:
    """Return `value` as a float.

    Raises:
        SafsError: if it is no finite number, less than `minimum` or greater than `maximum`.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not minimum <= float(value) <= maximum:  # type: ignore[arg-type]
        most = "" if maximum == math.inf else f" and at most {maximum:g}"
        raise SafsError(f"{option!r} must be a number of at least {minimum:g}{most}, but got {value!r}.")
    return float(value)  # type: ignore[arg-type]


class Searcher(abc.ABC):
    """Propose suggestions and learn from outcomes; never evaluate, log or write.

    No assignment is proposed twice. A subclass implements `_ask` and `_tell`, sets `name`, and where it has options or
    a state of its own also `_options`, `_state` and `_load_state`.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.

    Raises:
        SafsError: if the seed is negative or no integer, or a start point is not in the space.
    """

    name: ClassVar[str]
    """The name in the registry, which also marks saved states."""

    def __init__(self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = ()) -> None:
        self._space = space
        self._rng = np.random.Generator(np.random.PCG64(checked_integer("seed", seed, minimum=0)))
        self._start = tuple(dict.fromkeys(space.check(assignment) for assignment in start))
        self._suggestions: list[Assignment] = []
        self._ids: dict[Assignment, int] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._applied = 0

    @property
    def pending(self) -> tuple[Suggestion, ...]:
        """The suggestions whose outcome has not been told, in ask order."""
        ids = range(self._applied, len(self._suggestions))
        return tuple(Suggestion(id, self._suggestions[id]) for id in ids if id not in self._outcomes)

    @property
    def incumbent(self) -> tuple[Assignment, float] | None:
        """The assignment of lowest cost told so far and that cost, the first one asked among equals."""
        costs = [(outcome.cost, id) for id, outcome in self._outcomes.items() if outcome.cost is not None]
        if not costs:
            return None
        cost, id = min(costs)
        return self._suggestions[id], cost

    def ask(self) -> Suggestion:
        """Return the next suggestion, which then is pending.

        Raises:
            ExhaustedError: if every assignment of the space has been proposed.
        """
        id = len(self._suggestions)
        if id == self._space.size:
            raise ExhaustedError(f"All {id} assignments of the space have been proposed.")
        assignment = self._start[id] if id < len(self._start) else self._ask()
        assert assignment not in self._ids, f"{self.name} proposed {assignment} twice"
        self._suggestions.append(assignment)
        self._ids[assignment] = id
        return Suggestion(id, assignment)

    def tell(self, id: int, outcome: Outcome) -> None:
        """Report the outcome of a pending suggestion, once.

        Raises:
            TellError: if no suggestion with this id is pending, or this is no `Outcome`.
        """
        if not isinstance(outcome, Outcome):
            raise TellError(f"A searcher is told an Outcome, but got {outcome!r} for suggestion {id!r}.")
        pending = [suggestion.id for suggestion in self.pending]
        if id not in pending:
            raise TellError(f"Suggestion {id!r} is not pending; pending: {pending}.")
        self._outcomes[id] = outcome
        while self._applied in self._outcomes:
            suggestion = Suggestion(self._applied, self._suggestions[self._applied])
            self._applied += 1
            self._tell(suggestion, self._outcomes[suggestion.id])

    def options(self) -> dict[str, Any]:
        """Return what identifies this searcher beside its space and seed, as JSON values."""
        return {"algorithm": self.name, "start": [list(assignment) for assignment in self._start], **self._options()}

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state as JSON values, from which `load_state_dict` continues the same search."""
        return {
            **self._identity(),
            "generator": self._rng.bit_generator.state,
            "suggestions": [list(assignment) for assignment in self._suggestions],
            "outcomes": [[id, self._outcomes[id].cost] for id in sorted(self._outcomes)],
            "own": self._state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` returned, the random state included; the seed no longer matters.

        Raises:
            SafsError: if the state is of another algorithm, space or options, or is damaged. The searcher is then
                as it was.
        """
        loaded = copy.copy(self)
        try:
            loaded._restore(state)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise SafsError(f"The searcher state is damaged ({type(error).__name__}: {error}).") from error
        self.__dict__.update(loaded.__dict__)

    def _identity(self) -> dict[str, Any]:
        space = {"sites": list(self._space.sites), "operators": list(self._space.operators)}
        return {"schema": SCHEMA, "space": space, "options": self.options()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Replace every attribute that the state describes, mutating none: the caller may go back."""
        for key, ours in self._identity().items():
            if state[key] != ours:
                raise SafsError(f"The state is of another search: {_difference(key, state[key], ours)}.")
        generator = np.random.PCG64(0)
        generator.state = state["generator"]
        self._rng = np.random.Generator(generator)
        self._suggestions = [self._space.check(assignment) for assignment in state["suggestions"]]
        self._ids = {assignment: id for id, assignment in enumerate(self._suggestions)}
        self._outcomes = {id: Outcome(cost) for id, cost in state["outcomes"]}
        if len(self._ids) < len(self._suggestions):
            raise ValueError("a suggestion stands there twice")
        if not self._outcomes.keys() <= set(range(len(self._suggestions))):
            raise ValueError("an outcome has no suggestion")
        ids = range(len(self._suggestions))
        self._applied = next((id for id in ids if id not in self._outcomes), len(ids))
        self._load_state(state["own"])

    def _known(self, assignment: Assignment) -> Outcome | None:
        """Return the outcome of an assignment if it has been applied, None if it is pending, held back or unseen."""
        id = self._ids.get(assignment, self._applied)
        return self._outcomes[id] if id < self._applied else None

    def _sample_unseen(self) -> Assignment:
        """Return an assignment that has not been proposed, drawn uniformly.

        Only where nearly the whole space has been proposed do the redraws fail, and then there is little to enumerate.
        """
        for _ in range(REDRAWS):
            assignment = self._space.sample(self._rng)
            if assignment not in self._ids:
                return assignment
        remaining = min(self._space.size - len(self._ids), ENUMERATED)
        unseen = (assignment for assignment in self._space if assignment not in self._ids)
        return next(itertools.islice(unseen, int(self._rng.integers(remaining)), None))

    @abc.abstractmethod
    def _ask(self) -> Assignment:
        """Return an assignment that has not been proposed; there is at least one, and the start points are done."""

    @abc.abstractmethod
    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn from an outcome; called in ask order, start points included."""

    def _options(self) -> dict[str, Any]:
        """Return the options beside `start` as JSON values."""
        return {}

    def _state(self) -> dict[str, Any]:
        """Return the algorithm's own state as new JSON values."""
        return {}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `_state` returned by assigning attributes, never by changing an object in place.

        The record and the random state are already the loaded ones. A KeyError, TypeError or ValueError means damage.
        """
        if state != {}:
            raise ValueError(f"{self.name} has no state of its own, but got {sorted(state)}")


def _difference(key: str, theirs: Any, ours: Any) -> str:
    """Return the first place where two JSON values differ and both values there."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                return _difference(f"{key}.{name}", theirs.get(name), ours.get(name))
    return f"{key} is {theirs!r} in the state, but {ours!r} in this searcher"
