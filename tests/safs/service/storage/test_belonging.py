"""A storage and a database that do not belong together are not used: a sweep would remove all studies."""

import os

import pytest
from typer.testing import CliRunner

from safs.cli.app import app
from safs.service.home import opened_database
from safs.service.ids import new_id
from safs.service.serving import prepared_storage
from safs.service.settings import ServiceSettings
from safs.service.states import State
from safs.service.storage.belonging import check_belongs
from safs.service.storage.layout import CONFIG
from safs.service.store import studies, submissions, tokens
from spaces.errors import SafsError
from tests.safs.service.store.conftest import submission


def submit(storage):
    study = new_id()
    with storage.incoming() as incoming:
        (incoming.folder / CONFIG).write_text("seed: 1\n")
        incoming.keep(study)
    return study


def test_a_new_storage_is_its_first_services(storage, elsewhere):
    assert (storage.owner(), storage.studies()) == (None, set())
    check_belongs(storage, "a", set(), may_be_new=True)
    study = submit(storage)
    assert (elsewhere.owner(), elsewhere.studies()) == ("a", {study})
    check_belongs(elsewhere, "a", set(), may_be_new=True)
    with pytest.raises(SafsError, match="keeps 1 studies of another service than the database"):
        check_belongs(elsewhere, "b", {study}, may_be_new=True)
    assert storage.owner() == "a"


def test_a_storage_of_which_nobody_noted_whose_it_is(storage):
    study = submit(storage)
    with pytest.raises(SafsError, match="another service"):
        check_belongs(storage, "a", {new_id()}, may_be_new=True)
    assert storage.owner() is None
    check_belongs(storage, "a", {new_id(), study}, may_be_new=True)
    assert storage.owner() == "a"


def test_a_storage_without_studies_may_change_hands(storage):
    storage.set_owner("a")
    check_belongs(storage, "b", set(), may_be_new=True)
    assert storage.owner() == "b"


def test_a_worker_with_a_storage_of_its_own_refuses_and_ends_no_study(storage, place, tmp_path):
    homes = [tmp_path / "server", tmp_path / "elsewhere"]
    settings = ServiceSettings.from_mapping({"storage": place})
    for home in homes:
        home.mkdir()
    with opened_database(settings, homes[0]) as database:
        check_belongs(storage, database.service(), set(), may_be_new=False)
        study = submit(storage)
        with database.writing() as connection:
            owner = tokens.find(connection, tokens.create(connection, "me", tokens.Scope.SUBMIT)).id
            submissions.submit(connection, owner, submission(), id=study, most_queued=None)
    url = f"sqlite:///{homes[0] / 'safs.db'}"
    run = CliRunner().invoke(app, ["worker", "--home", str(homes[1])], env={"SAFS_DATABASE": url})
    assert isinstance(run.exception, SafsError)
    assert "keeps none of the 1 studies that the database knows" in str(run.exception)
    with opened_database(settings, homes[0]) as database, database.reading() as connection:
        assert studies.get(connection, study).state is State.QUEUED


def test_a_storage_that_is_away_is_said(storage, monkeypatch):
    def away():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(storage, "owner", away)
    with pytest.raises(SafsError, match="The storage cannot be used: "):
        check_belongs(storage, "a", set(), may_be_new=True)


def test_a_server_with_another_database_refuses_and_removes_nothing(storage, place, tmp_path):
    settings = ServiceSettings.from_mapping({"storage": place})
    for home in ("first", "second"):
        (tmp_path / home).mkdir()
    with opened_database(settings, tmp_path / "first") as database:
        prepared_storage(settings, tmp_path / "first", database)
    study = submit(storage)
    if "://" not in place:
        os.utime(tmp_path / "studies" / study, (0, 0))  # old enough to be swept
    with (
        opened_database(settings, tmp_path / "second") as database,
        pytest.raises(SafsError, match="another service"),
    ):
        prepared_storage(settings, tmp_path / "second", database)
    assert storage.studies() == {study}
