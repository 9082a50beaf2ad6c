"""The database: made, migrated, away; its transactions."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from safs.service.home import opened_database
from safs.service.settings import ServiceSettings
from safs.service.states import State, StateError
from safs.service.store import lifecycle, tokens
from safs.service.store.database import Database
from safs.service.store.tables import StudyRow, TokenRow
from safs.service.worker.patience import is_away
from spaces.errors import SafsError
from tests.safs.service.store.conftest import in_a_transaction, read


def migrated(database):
    """Migrate a database and return the id of its service, which the first migration draws."""
    database.migrate()
    return database.service()


def test_a_database_is_migrated_once_and_by_many_at_once(unmigrated):
    with ThreadPoolExecutor(4) as threads:
        services = list(threads.map(lambda _: migrated(unmigrated), range(4)))
    unmigrated.migrate()
    assert {unmigrated.service(), *services} == {services[0]}


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


def test_two_databases_are_of_two_services(database, tmp_path_factory):
    database.migrate()
    other = Database.in_folder(tmp_path_factory.mktemp("other"))
    other.migrate()
    assert len({database.service(), database.service(), other.service()}) == 2
    other.close()


def test_a_transaction_that_fails_changes_nothing(database, submit):
    study = submit()

    def fail():
        with database.writing() as connection:
            lifecycle.transition(connection, study, State.QUEUED, State.CANCELED)
            lifecycle.transition(connection, study, State.QUEUED, State.SUCCEEDED)

    with pytest.raises(StateError):
        fail()
    assert read(database, study).state is State.QUEUED


def test_writers_wait_for_each_other_and_readers_for_nobody(database, submit):
    study = submit()
    with database.writing() as connection:
        lifecycle.transition(connection, study, State.QUEUED, State.CANCELED)
        began = time.monotonic()
        assert read(database, study).state is State.QUEUED
        assert time.monotonic() - began < 5


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


@pytest.mark.parametrize("name", ["q?x=1", "a%20b", "a b#c", "q&mode=memory"])
def test_a_database_lies_in_its_folder_whatever_that_is_called_and_is_its_owners_alone(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir(mode=0o755)
    database = Database.in_folder(folder)
    database.migrate()
    with database.writing() as connection:
        tokens.create(connection, "a", tokens.Scope.READ)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    database.close()
    assert modes == {"safs.db": 0o600, "safs.db-shm": 0o600, "safs.db-wal": 0o600}
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_damaged_or_full_database_says_is_a_sentence_and_a_fault_of_ours_is_none(tmp_path):
    with opened_database(ServiceSettings(), tmp_path) as database, database.writing() as connection:
        tokens.create(connection, "a", tokens.Scope.READ)

    def fill():
        with opened_database(ServiceSettings(), tmp_path) as database, database.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")
            connection.execute(text("CREATE TABLE large (x)"))
            connection.execute(text("INSERT INTO large VALUES (randomblob(10000000))"))

    with pytest.raises(SafsError, match="The database cannot be used: database or disk is full"):
        fill()
    with (
        pytest.raises(IntegrityError),
        opened_database(ServiceSettings(), tmp_path) as database,
        database.writing() as connection,
    ):
        connection.execute(insert(TokenRow).values(id=1, name="b"))
    (tmp_path / "safs.db").write_bytes(b"SQLite format 3\0" + b"x" * 100_000)
    with (
        pytest.raises(SafsError, match="The database cannot be used"),
        opened_database(ServiceSettings(), tmp_path),
    ):
        pass
