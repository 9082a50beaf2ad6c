"""What becomes of a study whose process has ended."""

import signal

import pytest

from safs.service.states import Reason, State
from safs.service.worker.outcome import CANCELED, Outcome, lost, outcome_of
from safs.service.worker.said import How, Said

TIMEOUT = Outcome(State.FAILED, Reason.TIMEOUT, "too long")


@pytest.mark.parametrize(
    ("code", "said", "stop", "oom", "outcome"),
    [
        (0, Said(How.OK), None, False, Outcome(State.SUCCEEDED)),
        (0, Said(How.OK), CANCELED, False, Outcome(State.SUCCEEDED)),
        (130, None, CANCELED, False, CANCELED),
        (-9, None, TIMEOUT, True, TIMEOUT),
        (2, Said(How.ERROR, Reason.ERROR, "bad"), None, False, Outcome(State.FAILED, Reason.ERROR, "bad")),
        (1, Said(How.LOST, Reason.LOST, "gone"), None, False, lost("gone")),
        (2, Said(How.HELD, None, "held"), None, False, lost("held")),
        (-11, None, None, True, lost("Its process was killed by SIGSEGV.")),
        (-9, None, None, False, lost("Its process was killed by SIGKILL.")),
        (130, None, None, False, lost("Its process ended with code 130.")),
    ],
)
def test_what_becomes_of_a_study(code, said, stop, oom, outcome):
    assert outcome_of(code, said, stop, oom) == outcome


def test_a_study_that_the_system_killed_for_want_of_memory_has_failed():
    outcome = outcome_of(-signal.SIGKILL, None, None, oom_killed=True)
    assert (outcome.state, outcome.reason) == (State.FAILED, Reason.OOM)
