"""Changes of one study, or by one token, that many make at the same time."""

import threading
from collections import Counter

from safs.service.scopes import Scope
from safs.service.states import State
from safs.service.store import leases, lifecycle, studies, tokens
from safs.service.store.submissions import LimitError
from tests.safs.service.store.conftest import age, in_a_transaction, meanwhile, read


def test_two_workers_never_get_one_study(database, submit):
    ids = {submit() for _ in range(40)}
    claimed = Counter()

    def work(name):
        while (lease := leases.claim(database, name, 30)) is not None:
            claimed[lease.study_id] += 1
            with database.writing() as connection:
                assert lifecycle.transition(
                    connection, lease.study_id, State.RUNNING, State.SUCCEEDED, lease=lease.name
                )

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert claimed == dict.fromkeys(ids, 1)


def test_one_key_sent_many_times_at_once_makes_one_study(database, submit):
    made = []
    threads = [threading.Thread(target=lambda: made.append(submit(idempotency_key="k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert len(made) == 8


def test_resuming_goes_not_around_the_limit_however_many_do_it_at_once(database, submit):
    with database.writing() as connection:
        mine = tokens.find(connection, tokens.create(connection, "two", Scope.SUBMIT, most_queued=2)).id
    ended = [submit(token=mine) for _ in range(6)]
    for study in ended:
        in_a_transaction(
            database, lambda connection, id=study: lifecycle.cancel(connection, studies.get(connection, id))
        )
    refused = []

    def resume(study):
        try:
            with database.writing() as connection:
                assert lifecycle.resume(connection, studies.get(connection, study), most_queued=99)
        except LimitError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=resume, args=(study,)) for study in ended]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["2 of your studies wait already, and 2 may; try again later."] * 4
    with database.reading() as connection:
        assert studies.counts(connection)[State.QUEUED] == 2


def test_a_lease_that_is_renewed_at_the_last_moment_is_not_taken_back(database, submit):
    study = submit()
    lease = leases.claim(database, "w", 30)
    age(database, study, 60)
    with meanwhile(database, lambda: leases.take_back(database)) as (connection, _):
        assert leases.renew(connection, lease, 30) is False
    assert (read(database, study).state, read(database, study).lease) == (State.RUNNING, lease.name)


def test_a_study_that_is_canceled_as_it_is_taken_back_is_canceled(database, submit):
    study = submit()
    leases.claim(database, "w", 30)
    age(database, study, 60)
    with meanwhile(database, lambda: leases.take_back(database)) as (connection, _):
        assert lifecycle.cancel(connection, studies.get(connection, study))
    leases.take_back(database)
    assert read(database, study).state is State.CANCELED


def test_a_study_that_is_canceled_as_it_is_claimed_is_nobodys_turn(database, submit):
    first, second = submit(), submit()
    with meanwhile(database, lambda: leases.claim(database, "w", 30)) as (connection, results):
        assert lifecycle.cancel(connection, studies.get(connection, first))
    assert (results[0].study_id, read(database, first).state) == (second, State.CANCELED)


def test_a_study_that_begins_as_it_is_canceled_is_canceled_by_its_worker(database, submit):
    study = submit()
    found = read(database, study)

    def cancel():
        return in_a_transaction(database, lambda connection: lifecycle.cancel(connection, found))

    with meanwhile(database, cancel) as (connection, results):
        assert lifecycle.transition(connection, study, State.QUEUED, State.RUNNING, new_lease="a", leased_until=9e9)
    assert results == [True]
    assert (read(database, study).state, read(database, study).cancelling) == (State.RUNNING, True)


def test_a_study_that_is_resumed_as_it_is_removed_is_not_removed(database, submit):
    study = submit()
    in_a_transaction(database, lambda connection: lifecycle.cancel(connection, studies.get(connection, study)))

    def remove():
        return in_a_transaction(database, lambda connection: lifecycle.remove(connection, study))

    with meanwhile(database, remove) as (connection, results):
        assert lifecycle.resume(connection, studies.get(connection, study, for_update=True))
    assert results == [False]
    assert read(database, study).state is State.QUEUED
