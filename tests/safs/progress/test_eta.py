import math

import pytest

from safs.progress.eta import TimeLeft
from safs.protocol import Protocol
from safs.spec import TrialSpec


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def left(clock):
    """An estimate of a study of 10 trials of 2 units of work each."""
    left = TimeLeft(clock)
    left.expect(20.0, lambda spec: 2.0)
    return left


def trial(number, epochs=4, span=None):
    return TrialSpec("pruned", ("relu",), Protocol(epochs=epochs), number, span=span)


def test_the_rest_takes_as_long_as_this_session_took_for_as_much(left, clock):
    left.started(trial(0))
    clock.now += 6
    left.ended(trial(0), cached=False)
    assert left.fraction() == pytest.approx(0.1)
    assert left.seconds() == pytest.approx(9 * 6)
    assert left.text() == "about 54.0 s left"


def test_a_running_trial_counts_by_its_epochs(left, clock):
    left.started(trial(0))
    clock.now += 3
    left.epoch(trial(0), 1)
    assert left.seconds() == pytest.approx(3 / (1 / 4) * 9.75)


def test_a_part_of_a_protocol_counts_by_the_epochs_of_that_part(left, clock):
    spec = trial(0, epochs=10, span=(6, 10))
    left.started(spec)
    clock.now += 3
    left.epoch(spec, 9)
    assert left.fraction() == pytest.approx(0.1 * 3 / 4)


def test_trials_side_by_side_make_the_rate_higher(left, clock):
    for number in range(4):
        left.started(trial(number))
    clock.now += 5
    for number in range(4):
        left.ended(trial(number), cached=False)
    assert left.seconds() == pytest.approx(6 / 4 * 5)


def test_what_was_known_makes_the_work_less_and_says_nothing_of_the_rate(left, clock):
    for number in range(5):
        left.ended(trial(number), cached=True)
    assert left.fraction() == pytest.approx(0.5)
    assert left.seconds() is None
    clock.now += 100
    left.started(trial(5))
    clock.now += 6
    left.ended(trial(5), cached=False)
    assert left.seconds() == pytest.approx(4 * 6)


def test_a_trial_counts_once_whichever_phases_ask_for_it(left):
    left.ended(trial(0), cached=True)
    left.ended(trial(0), cached=True)
    assert left.fraction() == pytest.approx(0.1)


def test_a_lost_trial_is_to_be_trained_again(left, clock):
    for number in range(2):
        left.started(trial(number))
    clock.now += 4
    left.epoch(trial(0), 2)
    left.ended(trial(1), cached=False)
    before = left.seconds()
    left.lost(trial(0))
    assert left.fraction() == pytest.approx(0.1)
    assert left.seconds() > before


def test_nothing_is_said_before_there_is_something_to_base_it_on(left, clock):
    assert left.seconds() is None
    left.started(trial(0))
    left.started(trial(1))
    clock.now += 5
    assert left.text() == ""
    left.epoch(trial(0), 1)
    assert left.seconds() is None, "the other one works, too, and nobody knows how fast"
    left.epoch(trial(1), 1)
    assert left.seconds() is not None


def test_it_stands_until_there_is_news(left, clock):
    left.started(trial(0))
    clock.now += 5
    left.epoch(trial(0), 1)
    before = left.seconds()
    clock.now += 100
    assert left.seconds() == before


def test_without_an_expectation_nothing_is_said(clock):
    left = TimeLeft(clock)
    left.started(trial(0))
    clock.now += 5
    left.epoch(trial(0), 2)
    left.ended(trial(0), cached=False)
    assert left.fraction() is None
    assert left.seconds() is None
    assert left.text() == ""


def test_what_ended_before_the_expectation_is_none_of_it(clock):
    left = TimeLeft(clock)
    left.started(trial(0))
    clock.now += 500
    left.ended(trial(0), cached=False)
    left.expect(4.0, lambda spec: 2.0)
    assert (left.fraction(), left.seconds()) == (0.0, None)
    left.started(trial(1))
    clock.now += 3
    left.ended(trial(1), cached=False)
    assert left.seconds() == pytest.approx(3)


def test_more_work_than_expected_leaves_none(left, clock):
    for number in range(12):
        left.started(trial(number))
        clock.now += 1
        left.ended(trial(number), cached=False)
    assert (left.fraction(), left.seconds()) == (1.0, 0.0)


@pytest.mark.parametrize("work", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("share", [0.0, -1.0, math.nan, math.inf, 5e-324])
def test_no_work_or_share_makes_nonsense(work, share, clock):
    for expected in (work, 1.0, 1e308):
        left = TimeLeft(clock)
        left.expect(expected, lambda spec: share)
        for number in range(3):
            left.started(trial(number))
            clock.now += 1e6
            left.epoch(trial(number), 9)
            left.ended(trial(number), cached=False)
            seconds, fraction = left.seconds(), left.fraction()
            assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
            assert fraction is None or 0 <= fraction <= 1
            left.text()
