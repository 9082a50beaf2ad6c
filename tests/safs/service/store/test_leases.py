"""Leases: whose turn it is, who has a study, and what happens to it when they are lost."""

import time

import pytest

from safs.service import cleaning
from safs.service.scopes import Scope
from safs.service.states import Reason, State
from safs.service.storage.local import LocalStorage
from safs.service.store import leases, lifecycle, tokens
from safs.service.worker.ledger import Ledger
from tests.safs.service.store.conftest import age, read


def test_whose_turn_it_is(database, submit):
    low, first, second = submit(priority=-1), submit(), submit()
    high = submit(priority=5)
    assert [leases.claim(database, "w", 30).study_id for _ in range(4)] == [high, first, second, low]
    assert leases.claim(database, "w", 30) is None


@pytest.mark.parametrize(("most", "each", "count"), [(0.6, 0.2, 3), (0.3333333333, 1 / 3, 1)])
def test_parts_of_a_gpu_add_up(database, submit, most, each, count):
    with database.writing() as connection:
        mine = tokens.find(connection, tokens.create(connection, "parts", Scope.SUBMIT, most_gpus=most)).id
    studies = [submit(token=mine, gpus=each) for _ in range(count + 1)]
    claimed = [leases.claim(database, "w", 30) for _ in studies]
    assert [lease.study_id for lease in claimed if lease] == studies[:count]


def test_a_token_gets_no_more_gpus_than_it_may(database, submit):
    with database.writing() as connection:
        mine = tokens.find(connection, tokens.create(connection, "small", Scope.SUBMIT, most_gpus=1.0)).id
    one, two = submit(token=mine, gpus=0.75), submit(token=mine, gpus=0.5)
    cpu, of_others = submit(token=mine, gpus=0.0), submit(gpus=4.0)
    claimed = [leases.claim(database, "w", 30) for _ in range(4)]
    assert [lease and lease.study_id for lease in claimed] == [one, cpu, of_others, None]
    with database.writing() as connection:
        lifecycle.transition(connection, one, State.RUNNING, State.SUCCEEDED, lease=claimed[0].name)
    assert leases.claim(database, "w", 30).study_id == two


def test_a_lease_that_is_not_renewed_is_lost_and_nothing_can_be_stored_by_it(database, submit):
    study = submit()
    first = leases.claim(database, "a", 30)
    with database.writing() as connection:
        assert leases.renew(connection, first, 30) is False
    assert leases.claim(database, "b", 30) is None
    age(database, study, 60)
    second = leases.claim(database, "b", 30)
    assert second.study_id == study
    with database.writing() as connection:
        assert leases.renew(connection, first, 30) is None
        assert not leases.is_held(connection, first)
        assert leases.is_held(connection, second)
        assert not lifecycle.transition(connection, study, State.RUNNING, State.FAILED, lease=first.name)
    assert (read(database, study).worker, read(database, study).attempts) == ("b", 2)


def test_a_study_under_which_workers_are_lost_again_and_again_has_failed(database, submit):
    study = submit()
    for number in range(2 * leases.MOST_FRUITLESS - 1):
        lease = leases.claim(database, "w", 30)
        assert lease.study_id == study
        if number == leases.MOST_FRUITLESS - 2:  # this one is lost only after it has got on
            assert Ledger(database, lease).add([{"n": 1, "id": "x"}], None)
        age(database, study, 60)
    assert leases.claim(database, "w", 30) is None
    found = read(database, study)
    assert (found.state, found.reason, found.lease) == (State.FAILED, Reason.LOST, None)
    with database.writing() as connection:
        assert lifecycle.resume(connection, found)
    assert (read(database, study).state, read(database, study).attempts) == (State.QUEUED, 0)


def test_a_server_takes_back_what_workers_have_lost(database, submit, monkeypatch, tmp_path):
    monkeypatch.setattr(cleaning, "_TAKE_BACK_S", 0.05)
    study = submit()
    leases.claim(database, "w", 30)
    with cleaning.cleaning_up(database, LocalStorage(tmp_path / "studies")):
        time.sleep(0.3)
        assert read(database, study).state is State.RUNNING
        age(database, study, 60)
        until = time.monotonic() + 20
        while read(database, study).state is not State.QUEUED:
            assert time.monotonic() < until
            time.sleep(0.02)
