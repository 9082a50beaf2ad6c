"""Strands side by side: each goes on as soon as it can, and comes to the same whatever ends first."""

import pytest

from safs.strands import NoTrials, run_strands


class Tasks:
    """Trials that end when they are told to, in a given order; `room` may run at a time."""

    def __init__(self, room, order):
        self._room, self._order = room, list(order)
        self.running, self.ended, self.most = [], set(), 0

    @property
    def has_room(self):
        return len(self.running) < self._room

    def start(self, name):
        self.running.append(name)
        self.most = max(self.most, len(self.running))

    def advance(self):
        name = next(name for name in self._order if name in self.running)
        self.running.remove(name)
        self.ended.add(name)


def chain(tasks, names, closed=None):
    """A strand that starts its trials one after the other, and returns what it saw."""
    seen = []
    try:
        for name in names:
            tasks.start(name)
            while name not in tasks.ended:
                yield
            seen.append(name)
        return seen
    finally:
        if closed is not None:
            closed.append(names)


@pytest.mark.parametrize("order", ["abcdefghi", "ihgfedcba", "gdaebhcfi"])
@pytest.mark.parametrize("room", [1, 2, 3, 10])
def test_results_come_in_the_order_of_the_strands(room, order):
    tasks = Tasks(room, order)
    assert run_strands([chain(tasks, names) for names in ("abc", "def", "ghi")], tasks) == [
        list("abc"), list("def"), list("ghi"),
    ]  # fmt: skip
    assert tasks.most == min(room, 3)


def test_without_room_one_strand_ends_before_the_next_begins():
    tasks, closed = Tasks(1, "abcd"), []
    run_strands([chain(tasks, "ab", closed), chain(tasks, "cd", closed)], tasks)
    assert closed == ["ab", "cd"]


def test_a_strand_that_never_waits_needs_no_trials():
    def known():
        return 7
        yield

    assert run_strands([known(), known()], NoTrials()) == [7, 7]
    assert run_strands([], NoTrials()) == []


def test_when_one_fails_the_others_are_closed():
    tasks, closed = Tasks(2, "abcd"), []

    def fails():
        tasks.start("x")
        yield
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        run_strands([chain(tasks, "abcd", closed), fails()], tasks)
    assert closed == ["abcd"]
