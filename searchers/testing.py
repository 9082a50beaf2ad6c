"""The conformance suite of the searchers: what the ask/tell contract promises, as tests to inherit.

    class TestMySearcher(SearcherConformance):
        def make(self, space, seed, **options):
            return MySearcher(space, seed, **options)

The class must stand at the top level of a file, because one test imports that file in another process.
"""

from __future__ import annotations

import abc
import importlib.util
import inspect
import json
import logging
import os
import pickle
import random
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from searchers.base import ExhaustedError, Outcome, Searcher, TellError
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError

FAILED = Outcome(None)

Operation = tuple[str, int]
"""("ask", id) or ("tell", id)."""


def outcome_of(space: AssignmentSpace, assignment: Assignment) -> Outcome:
    """Return the outcome of a made-up trial: a cost that adds up over the sites, with ties and some failures."""
    if zlib.crc32(" ".join(assignment).encode()) % 5 == 0:
        return FAILED
    return Outcome(float(sum((7 * space.operators.index(name) + 3 * i) % 5 for i, name in enumerate(assignment))))


def play(searcher: Searcher, space: AssignmentSpace, operations: Iterable[Operation]) -> list[Assignment]:
    """Carry out asks and tells in the given order and return the assignments asked."""
    asked = []
    for kind, id in operations:
        if kind == "ask":
            suggestion = searcher.ask()
            assert suggestion.id == id
            asked.append(suggestion.assignment)
        else:
            assignment = {suggestion.id: suggestion.assignment for suggestion in searcher.pending}[id]
            searcher.tell(id, outcome_of(space, assignment))
    return asked


def batches(count: int, order: Sequence[int]) -> list[Operation]:
    """Return the operations of a study that asks `len(order)` suggestions at a time and tells them in that order."""
    operations = []
    for first in range(0, count * len(order), len(order)):
        operations += [("ask", first + i) for i in range(len(order))]
        operations += [("tell", first + i) for i in order]
    return operations


def one_by_one(count: int) -> list[Operation]:
    """Return the operations of a study with one suggestion pending at a time."""
    return batches(count, [0])


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a file of standard JSON."""
    return dict(json.loads(json.dumps(state, allow_nan=False)))


class SearcherConformance(abc.ABC):
    """Inherit, implement `make`, and get the contract's tests."""

    space: ClassVar[AssignmentSpace] = AssignmentSpace([f"site{i}" for i in range(5)], ["a", "b", "c", "d"])
    small: ClassVar[AssignmentSpace] = AssignmentSpace(["first", "second"], ["a", "b", "c"])
    start: ClassVar[list[Assignment]] = [("a", "b", "c", "d", "a"), ("d",) * 5, ("b",) * 5]

    @abc.abstractmethod
    def make(self, space: AssignmentSpace, seed: int, **options: Any) -> Searcher:
        """Return a new searcher; `options` may hold `start`."""

    # Randomness

    def test_the_same_seed_gives_the_same_sequence_in_every_process(self) -> None:
        here = play(self.make(self.space, 7), self.space, one_by_one(12))
        for hash_seed in ("1", "2"):
            there = _replay_elsewhere(type(self), seed=7, count=12, hash_seed=hash_seed)
            assert [list(assignment) for assignment in here] == there

    def test_another_seed_gives_another_sequence(self) -> None:
        sequences = {tuple(play(self.make(self.space, seed), self.space, one_by_one(8))) for seed in range(4)}
        assert len(sequences) == 4

    def test_global_random_state_is_neither_read_nor_written(self) -> None:
        sequences = []
        for global_seed in (0, 1):
            random.seed(global_seed)
            np.random.seed(global_seed)
            before = random.getstate(), pickle.dumps(np.random.get_state())
            sequences.append(play(self.make(self.space, 3), self.space, one_by_one(8)))
            assert before == (random.getstate(), pickle.dumps(np.random.get_state()))
        assert sequences[0] == sequences[1]

    @pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
    def test_a_seed_that_is_no_natural_number_is_refused(self, seed: Any) -> None:
        with pytest.raises(SafsError, match="seed"):
            self.make(self.space, seed)

    # Proposals

    @pytest.mark.parametrize("outcome", [None, FAILED], ids=["some_fail", "all_fail"])
    def test_exhaustion_is_a_normal_end_and_proposes_every_assignment_once(self, outcome: Outcome | None) -> None:
        for seed in range(5):
            searcher = self.make(self.small, seed)
            asked = []
            for _ in range(self.small.size):
                suggestion = searcher.ask()
                asked.append(suggestion.assignment)
                searcher.tell(suggestion.id, outcome or outcome_of(self.small, suggestion.assignment))
            assert sorted(asked) == sorted(self.small)
            state = searcher.state_dict()
            for _ in range(2):
                with pytest.raises(ExhaustedError, match="9"):
                    searcher.ask()
            assert searcher.state_dict() == state

    def test_exhaustion_while_everything_is_pending(self) -> None:
        searcher = self.make(self.small, 0)
        asked = [searcher.ask() for _ in range(self.small.size)]
        assert sorted(suggestion.assignment for suggestion in asked) == sorted(self.small)
        assert searcher.pending == tuple(asked)
        with pytest.raises(ExhaustedError):
            searcher.ask()
        for suggestion in reversed(asked):
            searcher.tell(suggestion.id, outcome_of(self.small, suggestion.assignment))
        assert searcher.pending == ()

    def test_nothing_is_proposed_twice(self) -> None:
        asked = play(self.make(self.space, 5), self.space, batches(10, [2, 0, 1]))
        assert len(set(asked)) == len(asked) == 30
        assert all(self.space.check(assignment) == assignment for assignment in asked)

    @pytest.mark.parametrize(
        "space",
        [
            AssignmentSpace(["only"], ["a", "b", "c"]),
            AssignmentSpace(["first", "second", "third"], ["a"]),
            AssignmentSpace(["only"], ["a"]),
        ],
        ids=["one_site", "one_operator", "one_assignment"],
    )
    def test_the_smallest_spaces(self, space: AssignmentSpace) -> None:
        searcher = self.make(space, 0)
        assert sorted(play(searcher, space, one_by_one(space.size))) == sorted(space)
        with pytest.raises(ExhaustedError):
            searcher.ask()

    def test_an_astronomically_large_space(self) -> None:
        space = AssignmentSpace([f"site{i}" for i in range(200)], [f"operator{i}" for i in range(13)])
        assert len(set(play(self.make(space, 0), space, batches(3, [1, 0])))) == 6

    def test_start_points_come_first_in_order_and_once(self) -> None:
        searcher = self.make(self.space, 0, start=[*self.start, self.start[0]])
        asked = play(searcher, self.space, batches(4, [1, 0]))
        assert asked[:3] == self.start
        assert len(set(asked)) == 8

    @pytest.mark.parametrize("point", [("a",), ("a", "a", "a", "a", "unknown")])
    def test_a_start_point_outside_the_space_is_refused(self, point: Assignment) -> None:
        with pytest.raises(SafsError):
            self.make(self.space, 0, start=[point])

    # Outcomes

    def test_ids_count_from_zero_and_tells_are_checked(self) -> None:
        searcher = self.make(self.space, 0)
        asked = [searcher.ask() for _ in range(3)]
        assert [suggestion.id for suggestion in asked] == [0, 1, 2]
        searcher.tell(1, Outcome(1.0))
        assert [suggestion.id for suggestion in searcher.pending] == [0, 2]
        state = searcher.state_dict()
        for id in (1, 3, -1):
            with pytest.raises(TellError, match=r"pending: \[0, 2\]"):
                searcher.tell(id, Outcome(2.0))
        with pytest.raises(TellError, match="Outcome"):
            searcher.tell(0, 0.5)  # type: ignore[arg-type]
        assert searcher.state_dict() == state

    def test_the_order_of_tells_within_a_batch_changes_nothing(self) -> None:
        ends = []
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
            searcher = self.make(self.space, 11)
            ends.append((play(searcher, self.space, batches(4, order)), searcher.incumbent, searcher.state_dict()))
        assert ends[0] == ends[1] == ends[2]

    def test_an_outcome_waits_for_the_earlier_ones(self) -> None:
        for seed in range(10):  # a small space, where algorithms meet their own proposals again
            beginning = [*batches(1, [0, 1]), ("ask", 2), ("ask", 3)]
            rest = [("ask", id) for id in range(4, self.small.size)]
            without = play(self.make(self.small, seed), self.small, [*beginning, *rest])
            early = play(self.make(self.small, seed), self.small, [*beginning, ("tell", 3), *rest])
            assert without == early

    def test_the_search_survives_failures(self) -> None:
        searcher = self.make(self.space, 0)
        for _ in range(8):
            searcher.tell(searcher.ask().id, FAILED)
        assert searcher.incumbent is None
        for cost in (3.0, 2.0, 5.0):
            searcher.tell(searcher.ask().id, Outcome(cost))
            searcher.tell(searcher.ask().id, FAILED)
        incumbent = searcher.incumbent
        assert incumbent is not None
        assert incumbent[1] == 2.0

    def test_the_incumbent_is_the_first_of_the_lowest_told(self) -> None:
        searcher = self.make(self.space, 0)
        asked = [searcher.ask() for _ in range(4)]
        assert searcher.incumbent is None
        for id, cost in ((3, 1.0), (1, 1.0), (2, 4.0)):
            searcher.tell(id, Outcome(cost))
        assert searcher.incumbent == (asked[1].assignment, 1.0)

    # State

    @pytest.mark.parametrize("with_start", [False, True])
    def test_saved_and_loaded_at_any_step_the_rest_is_the_same(self, with_start: bool) -> None:
        options: dict[str, Any] = {"start": self.start} if with_start else {}
        operations = batches(4, [2, 0, 1])
        whole = play(self.make(self.space, 1, **options), self.space, operations)
        for step in range(len(operations) + 1):
            saved = self.make(self.space, 1, **options)
            done = play(saved, self.space, operations[:step])
            state = through_json(saved.state_dict())
            loaded = self.make(self.space, 99, **options)
            loaded.load_state_dict(state)
            assert through_json(loaded.state_dict()) == state
            assert loaded.incumbent == saved.incumbent
            assert loaded.pending == saved.pending
            assert done + play(loaded, self.space, operations[step:]) == whole

    def test_a_state_is_a_snapshot(self) -> None:
        searcher = self.make(self.space, 1)
        play(searcher, self.space, one_by_one(4))
        state = searcher.state_dict()
        frozen = through_json(state)
        searcher.tell(searcher.ask().id, Outcome(-1.0))
        assert state == frozen
        copied = self.make(self.space, 1)
        copied.load_state_dict(state)
        copied.tell(copied.ask().id, Outcome(-1.0))
        assert state == frozen
        assert copied.state_dict() == searcher.state_dict()

    def test_a_state_of_another_search_is_refused(self) -> None:
        searcher = self.make(self.space, 1)
        play(searcher, self.space, one_by_one(2))
        before = searcher.state_dict()
        sites, operators = self.space.sites, self.space.operators
        for other, what in (
            (self.make(AssignmentSpace(sites[::-1], operators), 1), "sites"),
            (self.make(AssignmentSpace(sites, operators[::-1]), 1), "operators"),
            (self.make(self.space, 1, start=self.start), "start"),
        ):
            with pytest.raises(SafsError, match=what):
                searcher.load_state_dict(through_json(other.state_dict()))
        state = through_json(before)
        state["options"]["algorithm"] = "another"
        with pytest.raises(SafsError, match=r"algorithm.*another"):
            searcher.load_state_dict(state)
        assert searcher.state_dict() == before

    def test_a_damaged_state_is_refused(self) -> None:
        searcher = self.make(self.space, 1)
        play(searcher, self.space, one_by_one(4))
        before = searcher.state_dict()
        for key in before:
            for damage in ({}, {key: None}, {key: 3}):
                state = {name: value for name, value in through_json(before).items() if name != key} | damage
                with pytest.raises(SafsError):
                    searcher.load_state_dict(state)
        for key, value in (("outcomes", [[4, 1.0]]), ("suggestions", [["a"] * 5] * 4)):
            with pytest.raises(SafsError, match="damaged"):
                searcher.load_state_dict(through_json(before) | {key: value})
        assert searcher.state_dict() == before

    def test_options_are_json(self) -> None:
        searcher = self.make(self.space, 1, start=self.start)
        assert through_json(searcher.options()) == searcher.options()
        assert searcher.options()["algorithm"] == searcher.name

    # Effects

    def test_it_neither_prints_nor_logs_nor_writes(
        self,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with caplog.at_level(logging.DEBUG):
            searcher = self.make(self.small, 1)
            play(searcher, self.small, one_by_one(self.small.size))
            searcher.load_state_dict(searcher.state_dict())
        assert capfd.readouterr() == ("", "")
        assert caplog.records == []
        assert list(tmp_path.iterdir()) == []


def replay(file: str, name: str, seed: int, count: int) -> None:
    """Print, as JSON, the assignments that class `name` of a test file asks for: the other process's part."""
    spec = importlib.util.spec_from_file_location("replayed", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite: SearcherConformance = getattr(module, name)()
    print(json.dumps(play(suite.make(suite.space, seed), suite.space, one_by_one(count))))


def _replay_elsewhere(suite: type[SearcherConformance], seed: int, count: int, hash_seed: str) -> object:
    """Return what `replay` prints in a new process whose string hashes are others."""
    arguments = (inspect.getfile(suite), suite.__name__, seed, count)
    command = f"from searchers.testing import replay; replay{arguments!r}"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
