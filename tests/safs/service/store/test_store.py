"""The store, on SQLite and PostgreSQL alike."""

import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from safs.service import serving
from safs.service.ids import is_id, new_id
from safs.service.states import FOLLOWS, Reason, State, StateError, check_transition
from safs.service.store import events, leases, studies, tokens, trials
from safs.service.store.database import Database
from safs.service.store.studies import LimitError, OtherRequestError, Submission
from safs.service.store.tables import StudyRow
from safs.service.store.tokens import Scope
from safs.service.worker import keeper
from safs.service.worker.ledger import Ledger
from safs.service.worker.patience import is_away
from spaces.errors import SafsError


@pytest.fixture
def owner(database):
    with database.writing() as connection:
        secret = tokens.create(connection, "me", Scope.SUBMIT)
        return tokens.find(connection, secret).id


def submission(name="study", **values):
    usual = {
        "priority": 0, "config": "seed: 1\n", "model": "lenet5", "data": "digits", "searcher": "lahc", "gpus": 0.0,
        "checkpoint": None, "mask": None, "idempotency_key": None, "request": "r",
    }  # fmt: skip
    return Submission(**({"name": name} | usual | values))


@pytest.fixture
def submit(database, owner):
    def make(name="study", *, token=None, most=None, **values):
        with database.writing() as connection:
            return studies.submit(connection, token or owner, submission(name, **values), id=new_id(), most_queued=most)

    return make


def read(database, id):
    with database.reading() as connection:
        return studies.get(connection, id)


def age(database, id, seconds):
    """Let the lease of a study run out that much earlier."""
    with database.writing() as connection:
        connection.execute(
            update(StudyRow).where(StudyRow.id == id).values(leased_until=StudyRow.leased_until - seconds)
        )


def test_ids_grow_with_time_and_are_their_own():
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(map(is_id, ids))
    assert [id[:11] for id in ids] == sorted(id[:11] for id in ids)
    assert not is_id("../../../../../../../etc")
    assert not is_id("a" * 24 + "\n")


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_the_table_of_states(before, after):
    if after in FOLLOWS[before]:
        check_transition(before, after)
    else:
        with pytest.raises(StateError, match=f"A study that is {before} can become .*, but not {after}"):
            check_transition(before, after)


def test_a_database_is_migrated_once_and_by_many_at_once(database):
    threads = [threading.Thread(target=database.migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.migrate()
    assert database.answers()


def test_a_database_that_cannot_be_used_is_said(tmp_path):
    for url in ("nonsense", "mysql://x/y", "sqlite://"):
        with pytest.raises(SafsError):
            Database(url)
    (tmp_path / "safs.db").write_bytes(b"this is no database, but it is long enough to look at" * 10)
    with pytest.raises(SafsError, match="cannot be used"):
        Database.in_folder(tmp_path).migrate()
    away = Database("postgresql://safs:secret@127.0.0.1:1/x")
    with pytest.raises(SafsError) as refused:
        away.migrate()
    assert "secret" not in str(refused.value)


def test_tokens(database):
    with database.writing() as connection:
        secret = tokens.create(connection, "a", Scope.READ, most_gpus=0.5)
        assert secret.startswith("safs_")
        found = tokens.find(connection, secret)
        assert (found.name, found.scope, found.most_gpus) == ("a", Scope.READ, 0.5)
        assert tokens.find(connection, secret + "x") is None
    with pytest.raises(SafsError, match="There is a token of the name 'a' already"), database.writing() as connection:
        tokens.create(connection, "a", Scope.ADMIN)
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(SafsError, match="printable"), database.writing() as connection:
            tokens.create(connection, name, Scope.READ)
    with database.writing() as connection:
        tokens.revoke(connection, "a")
        assert tokens.find(connection, secret) is None
    with pytest.raises(SafsError, match="no token 'a' to revoke; there are: none"), database.writing() as connection:
        tokens.revoke(connection, "a")


def test_a_secret_is_stored_nowhere(tmp_path):
    database = Database.in_folder(tmp_path)
    database.migrate()
    with database.writing() as connection:
        secret = tokens.create(connection, "a", Scope.READ)
    database.close()
    assert not [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]


def test_the_same_key_is_the_same_study(database, submit):
    first = submit(idempotency_key="k")
    assert submit(idempotency_key="k") == first
    with pytest.raises(OtherRequestError):
        submit(idempotency_key="k", request="another")
    assert submit() != submit()


def test_one_key_sent_many_times_at_once_makes_one_study(database, submit):
    made = []
    threads = [threading.Thread(target=lambda: made.append(submit(idempotency_key="k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert len(made) == 8


def test_only_so_many_may_wait(database, submit):
    for _ in range(2):
        submit(most=2)
    with pytest.raises(LimitError, match="2 of your studies wait already"):
        submit(most=2)
    leases.claim(database, "w", 30)
    submit(most=2)


def test_studies_are_listed_by_page_state_and_name(database, submit, owner):
    ids = [submit(f"Study {n} 100%") for n in range(5)]
    with database.writing() as connection:
        secret = tokens.create(connection, "other", Scope.SUBMIT)
        other = tokens.find(connection, secret).id
    submit("of another", token=other)
    with database.reading() as connection:

        def names(**filters):
            return [s.id for s in studies.listed(connection, **({"token_id": owner, "limit": 10} | filters))]

        assert names() == sorted(ids, reverse=True)
        assert names(limit=2) == sorted(ids, reverse=True)[:2]
        assert names(below=sorted(ids)[2]) == sorted(ids)[:2][::-1]
        assert names(name="study 3") == [ids[3]]
        assert len(names(name="100%")) == 5
        assert names(name="%%") == []
        assert names(states=[State.RUNNING]) == []
        assert len(names(token_id=None)) == 6


def test_whose_turn_it_is(database, submit):
    low, first, second = submit(priority=-1), submit(), submit()
    high = submit(priority=5)
    assert [leases.claim(database, "w", 30).study_id for _ in range(4)] == [high, first, second, low]
    assert leases.claim(database, "w", 30) is None


def test_a_token_gets_no_more_gpus_than_it_may(database, submit):
    with database.writing() as connection:
        mine = tokens.find(connection, tokens.create(connection, "small", Scope.SUBMIT, most_gpus=1.0)).id
    one, two = submit(token=mine, gpus=0.75), submit(token=mine, gpus=0.5)
    cpu, of_others = submit(token=mine, gpus=0.0), submit(gpus=4.0)
    claimed = [leases.claim(database, "w", 30) for _ in range(4)]
    assert [lease and lease.study_id for lease in claimed] == [one, cpu, of_others, None]
    with database.writing() as connection:
        studies.transition(connection, one, State.RUNNING, State.SUCCEEDED, lease=claimed[0].name)
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
        assert not studies.transition(connection, study, State.RUNNING, State.FAILED, lease=first.name)
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
        assert studies.resume(connection, found)
    assert (read(database, study).state, read(database, study).attempts) == (State.QUEUED, 0)


def test_canceling(database, submit):
    waiting, running = submit(), submit(priority=1)
    lease = leases.claim(database, "w", 30)
    assert lease.study_id == running
    with database.writing() as connection:
        for study in (waiting, running):
            assert studies.cancel(connection, studies.get(connection, study))
        assert leases.renew(connection, lease, 30) is True
    assert (read(database, waiting).state, read(database, running).state) == (State.CANCELED, State.RUNNING)
    age(database, running, 60)  # its worker is lost before it can stop
    assert leases.claim(database, "w", 30) is None
    assert read(database, running).state is State.CANCELED
    with database.writing() as connection:
        assert not studies.cancel(connection, studies.get(connection, waiting))


@contextmanager
def meanwhile(database, do):
    """A transaction, in the middle of which another thread begins to do something; what that returned comes after."""
    results = []
    thread = threading.Thread(target=lambda: results.append(do()))
    with database.writing() as connection:
        yield connection, results
        thread.start()
        time.sleep(0.5)
    thread.join(20)
    assert results, "it failed"


def in_a_transaction(database, change):
    with database.writing() as connection:
        return change(connection)


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
        assert studies.cancel(connection, studies.get(connection, study))
    leases.take_back(database)
    assert read(database, study).state is State.CANCELED


def test_a_study_that_is_canceled_as_it_is_claimed_is_nobodys_turn(database, submit):
    first, second = submit(), submit()
    with meanwhile(database, lambda: leases.claim(database, "w", 30)) as (connection, results):
        assert studies.cancel(connection, studies.get(connection, first))
    assert (results[0].study_id, read(database, first).state) == (second, State.CANCELED)


def test_a_study_that_begins_as_it_is_canceled_is_canceled_by_its_worker(database, submit):
    study = submit()
    found = read(database, study)

    def cancel():
        return in_a_transaction(database, lambda connection: studies.cancel(connection, found))

    with meanwhile(database, cancel) as (connection, results):
        assert studies.transition(connection, study, State.QUEUED, State.RUNNING, new_lease="a", leased_until=9e9)
    assert results == [True]
    assert (read(database, study).state, read(database, study).cancelling) == (State.RUNNING, True)


def test_a_study_that_is_resumed_as_it_is_removed_is_not_removed(database, submit):
    study = submit()
    in_a_transaction(database, lambda connection: studies.cancel(connection, studies.get(connection, study)))

    def remove():
        return in_a_transaction(database, lambda connection: studies.remove(connection, study))

    with meanwhile(database, remove) as (connection, results):
        assert studies.resume(connection, studies.get(connection, study, for_update=True))
    assert results == [False]
    assert read(database, study).state is State.QUEUED


def test_resuming_goes_not_around_the_limit_however_many_do_it_at_once(database, submit):
    with database.writing() as connection:
        mine = tokens.find(connection, tokens.create(connection, "two", Scope.SUBMIT, most_queued=2)).id
    ended = [submit(token=mine) for _ in range(6)]
    for study in ended:
        in_a_transaction(database, lambda connection, id=study: studies.cancel(connection, studies.get(connection, id)))
    refused = []

    def resume(study):
        try:
            with database.writing() as connection:
                assert studies.resume(connection, studies.get(connection, study), most_queued=99)
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


def test_a_token_without_a_limit_of_its_own_has_that_of_the_service(database, submit):
    study = submit()
    in_a_transaction(database, lambda connection: studies.cancel(connection, studies.get(connection, study)))
    submit()
    with pytest.raises(LimitError), database.writing() as connection:
        studies.resume(connection, studies.get(connection, study), most_queued=1)
    with database.writing() as connection:
        assert studies.resume(connection, studies.get(connection, study))


def test_workers_without_room_and_servers_take_back_what_others_have_lost(database, submit, monkeypatch):
    monkeypatch.setattr(keeper, "_TAKE_BACK_S", 0.05)
    monkeypatch.setattr(serving, "_TAKE_BACK_S", 0.05)
    study = submit()
    for taking_back in (keeper.Keeper(database, "full", 30), serving._taking_back(database)):
        leases.claim(database, "w", 30)
        with taking_back:
            time.sleep(0.3)
            assert read(database, study).state is State.RUNNING
            age(database, study, 60)
            until = time.monotonic() + 20
            while read(database, study).state is not State.QUEUED:
                assert time.monotonic() < until
                time.sleep(0.02)


def test_a_database_that_only_reads_is_away_and_asked_by_a_new_connection(database, submit):
    submit()
    sqlite = database.engine.dialect.name == "sqlite"

    def write(connection):
        connection.exec_driver_sql("PRAGMA query_only=ON" if sqlite else "SET TRANSACTION READ ONLY")
        connection.execute(update(StudyRow).values(name="another"))

    with pytest.raises(DBAPIError) as caught:
        in_a_transaction(database, write)
    assert is_away(caught.value)
    if not sqlite:
        assert caught.value.connection_invalidated
        submit()


def test_two_databases_are_of_two_services(database, tmp_path_factory):
    database.migrate()
    other = Database.in_folder(tmp_path_factory.mktemp("other"))
    other.migrate()
    assert len({database.service(), database.service(), other.service()}) == 2
    other.close()


def test_two_workers_never_get_one_study(database, submit):
    ids = {submit() for _ in range(40)}
    claimed = Counter()

    def work(name):
        while (lease := leases.claim(database, name, 30)) is not None:
            claimed[lease.study_id] += 1
            with database.writing() as connection:
                assert studies.transition(connection, lease.study_id, State.RUNNING, State.SUCCEEDED, lease=lease.name)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert claimed == dict.fromkeys(ids, 1)


def test_events_tell_every_change_in_order(database, submit):
    study = submit()
    lease = leases.claim(database, "w", 30)
    with database.writing() as connection:
        trials.add(connection, study, [{"n": 1, "id": "x"}, {"n": 2, "id": "y"}])
    with database.writing() as connection:
        studies.transition(connection, study, State.RUNNING, State.SUCCEEDED, lease=lease.name)
    with database.reading() as connection:
        told = events.since(connection, 0, study_id=study)
        assert [(event.kind, event.data.get("state") or event.data.get("n")) for event in told] == [
            ("state", "QUEUED"), ("state", "RUNNING"), ("trial", 1), ("trial", 2), ("state", "SUCCEEDED")
        ]  # fmt: skip
        assert [e.id for e in told] == sorted(e.id for e in told)
        assert events.since(connection, told[2].id, study_id=study) == told[3:]
        assert events.newest(connection, [study]) == {study: told[-1].id}
        assert trials.count(connection, study) == 2
        assert trials.after(connection, study, 1) == [{"n": 2, "id": "y"}]


def test_what_is_removed_leaves_nothing(database, submit):
    study, other = submit(), submit()
    with database.writing() as connection:
        trials.add(connection, study, [{"n": 1, "id": "x"}])
        assert not studies.remove(connection, study), "it waits"
        studies.cancel(connection, studies.get(connection, study))
        assert studies.remove(connection, study)
    with database.reading() as connection:
        assert studies.every_id(connection) == {other}
        assert trials.count(connection, study) == 0
        assert events.since(connection, 0, study_id=study) == []


def test_a_transaction_that_fails_changes_nothing(database, submit):
    study = submit()

    def fail():
        with database.writing() as connection:
            studies.transition(connection, study, State.QUEUED, State.CANCELED)
            studies.transition(connection, study, State.QUEUED, State.SUCCEEDED)

    with pytest.raises(StateError):
        fail()
    assert read(database, study).state is State.QUEUED


def test_writers_wait_for_each_other_and_readers_for_nobody(database, submit):
    study = submit()
    with database.writing() as connection:
        studies.transition(connection, study, State.QUEUED, State.CANCELED)
        began = time.monotonic()
        assert read(database, study).state is State.QUEUED
        assert time.monotonic() - began < 5
