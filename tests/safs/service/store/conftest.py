"""Studies that are submitted to each kind of database, and what is done to them."""

import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import update

from safs.service.ids import new_id
from safs.service.scopes import Scope
from safs.service.store import studies, submissions, tokens
from safs.service.store.submissions import Submission
from safs.service.store.tables import StudyRow


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
            return submissions.submit(
                connection, token or owner, submission(name, **values), id=new_id(), most_queued=most
            )

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


@contextmanager
def meanwhile(database, do):
    """A transaction, in the middle of which another thread begins to do something; what that returned comes after."""
    results, began = [], threading.Event()

    def begin():
        began.set()
        results.append(do())

    thread = threading.Thread(target=begin)
    with database.writing() as connection:
        yield connection, results
        thread.start()
        assert began.wait(20)
        time.sleep(0.1)
    thread.join(20)
    assert results, "it failed"


def in_a_transaction(database, change):
    with database.writing() as connection:
        return change(connection)
