"""Studies: submitted, listed, canceled, removed, and what is told of them."""

import pytest

from safs.service.ids import is_id, new_id
from safs.service.scopes import Scope
from safs.service.states import FOLLOWS, State, StateError, check_transition
from safs.service.store import events, leases, lifecycle, studies, tokens, trials
from safs.service.store.submissions import LimitError, OtherRequestError
from tests.safs.service.store.conftest import age, in_a_transaction, read


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


def test_the_same_key_is_the_same_study(database, submit):
    first = submit(idempotency_key="k")
    assert submit(idempotency_key="k") == first
    with pytest.raises(OtherRequestError):
        submit(idempotency_key="k", request="another")
    assert submit() != submit()


def test_only_so_many_may_wait(database, submit):
    for _ in range(2):
        submit(most=2)
    with pytest.raises(LimitError, match="2 of your studies wait already"):
        submit(most=2)
    leases.claim(database, "w", 30)
    submit(most=2)


def test_a_token_without_a_limit_of_its_own_has_that_of_the_service(database, submit):
    study = submit()
    in_a_transaction(database, lambda connection: lifecycle.cancel(connection, studies.get(connection, study)))
    submit()
    with pytest.raises(LimitError), database.writing() as connection:
        lifecycle.resume(connection, studies.get(connection, study), most_queued=1)
    with database.writing() as connection:
        assert lifecycle.resume(connection, studies.get(connection, study))


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


def test_canceling(database, submit):
    waiting, running = submit(), submit(priority=1)
    lease = leases.claim(database, "w", 30)
    assert lease.study_id == running
    with database.writing() as connection:
        for study in (waiting, running):
            assert lifecycle.cancel(connection, studies.get(connection, study))
        assert leases.renew(connection, lease, 30) is True
    assert (read(database, waiting).state, read(database, running).state) == (State.CANCELED, State.RUNNING)
    age(database, running, 60)  # its worker is lost before it can stop
    assert leases.claim(database, "w", 30) is None
    assert read(database, running).state is State.CANCELED
    with database.writing() as connection:
        assert not lifecycle.cancel(connection, studies.get(connection, waiting))


def test_events_tell_every_change_in_order(database, submit):
    study = submit()
    lease = leases.claim(database, "w", 30)
    with database.writing() as connection:
        trials.add(connection, study, [{"n": 1, "id": "x"}, {"n": 2, "id": "y"}])
    with database.writing() as connection:
        lifecycle.transition(connection, study, State.RUNNING, State.SUCCEEDED, lease=lease.name)
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
        assert not lifecycle.remove(connection, study), "it waits"
        lifecycle.cancel(connection, studies.get(connection, study))
        assert lifecycle.remove(connection, study)
    with database.reading() as connection:
        assert studies.every_id(connection) == {other}
        assert trials.count(connection, study) == 0
        assert events.since(connection, 0, study_id=study) == []
