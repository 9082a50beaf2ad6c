"""What a worker stores of a study, under its lease."""

from safs.service.states import State
from safs.service.store import lifecycle, studies
from safs.service.store.leases import Lease
from safs.service.worker.ledger import Ledger
from safs.service.worker.outcome import CANCELED, LEFT, lost


def test_nothing_is_written_without_the_lease(service, held):
    lease, ledger = held
    other = Ledger(service.database, Lease(lease.study_id, "0" * 32))
    assert not other.add([{"n": 1}], {"done": 0.5})
    assert other.end(LEFT, None) is None
    study = service.get(lease.study_id)
    assert (study.state, study.progress, service.trials(lease.study_id)) == (State.RUNNING, None, [])
    assert ledger.add([{"n": 1}], {"done": 0.5})
    assert service.trials(lease.study_id) == [{"n": 1}]


def test_a_worker_that_leaves_does_not_count_against_its_study(service, held):
    lease, ledger = held
    assert ledger.add([], {"done": 0.5, "running": [1], "seconds_left": 2.0})
    assert ledger.end(LEFT, None) == LEFT
    study = service.get(lease.study_id)
    assert (study.state, study.attempts, study.ended) == (State.QUEUED, 0, None)
    assert study.progress == {"done": 0.5, "running": [], "seconds_left": None}


def test_a_study_that_is_to_be_canceled_is_not_queued_again(service, held):
    lease, ledger = held
    with service.database.writing() as connection:
        assert lifecycle.cancel(connection, studies.get(connection, lease.study_id))
    assert ledger.end(lost("It died."), None) == CANCELED
    assert service.get(lease.study_id).ended is not None
