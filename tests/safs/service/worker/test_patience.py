"""When what failed is tried again."""

import sqlite3

import pytest
from sqlalchemy.exc import DataError, IntegrityError, InternalError, OperationalError

from safs.service.storage.bucket import AwayError
from safs.service.worker.patience import Patience, is_away


def test_patience_waits_longer_after_each_failure_and_hides_no_mistake():
    now = 0.0
    patience = Patience(every=1.0, clock=lambda: now)
    pauses = []
    for _ in range(7):
        with patience.trying():
            raise OperationalError("", {}, sqlite3.OperationalError("locked"))
        began = now
        while not patience.is_due:
            now += 0.1
        pauses.append(round(now - began, 1))
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.11)
    with patience.trying():
        pass
    assert not patience.is_due
    patience.hurry()
    assert patience.is_due
    with pytest.raises(IntegrityError), patience.trying():
        raise IntegrityError("", {}, sqlite3.IntegrityError())


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (OperationalError("", {}, ValueError()), True),
        (InternalError("", {}, ValueError()), False),
        (InternalError("", {}, ValueError(), connection_invalidated=True), True),
        (DataError("", {}, ValueError()), False),
        (AwayError("hung"), True),
        (ValueError("bad JSON"), False),
    ],
)
def test_what_is_waited_for(error, away):
    assert is_away(error) is away
