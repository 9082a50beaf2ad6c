"""A storage and a database that do not belong together are not used: a sweep would remove all studies."""

import os

import pytest

from safs.service.home import open_database
from safs.service.ids import new_id
from safs.service.serving import serve
from safs.service.settings import ServiceSettings
from safs.service.storage.belonging import check_belongs
from safs.service.storage.layout import CONFIG
from spaces.errors import SafsError


def submit(storage):
    study = new_id()
    with storage.incoming(study) as incoming:
        (incoming.folder / CONFIG).write_text("seed: 1\n")
        incoming.keep()
    return study


def test_a_new_storage_is_its_first_services(storage, elsewhere):
    assert (storage.owner(), storage.studies()) == (None, set())
    check_belongs(storage, "a", set())
    study = submit(storage)
    assert (elsewhere.owner(), elsewhere.studies()) == ("a", {study})
    check_belongs(elsewhere, "a", set())
    with pytest.raises(SafsError, match="keeps 1 studies of another service than the database"):
        check_belongs(elsewhere, "b", {study})
    assert storage.owner() == "a"


def test_a_storage_of_which_nobody_noted_whose_it_is(storage):
    study = submit(storage)
    with pytest.raises(SafsError, match="another service"):
        check_belongs(storage, "a", {new_id()})
    assert storage.owner() is None
    check_belongs(storage, "a", {new_id(), study})
    assert storage.owner() == "a"


def test_a_storage_without_studies_may_change_hands(storage):
    storage.set_owner("a")
    check_belongs(storage, "b", set())
    assert storage.owner() == "b"


def test_a_storage_that_is_away_is_said(storage, monkeypatch):
    def away():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(storage, "owner", away)
    with pytest.raises(SafsError, match="The storage cannot be used: "):
        check_belongs(storage, "a", set())


def test_a_server_with_another_database_refuses_and_removes_nothing(storage, place, tmp_path):
    homes = [tmp_path / "first", tmp_path / "second"]
    settings = ServiceSettings.from_mapping({"storage": place})
    for home in homes:
        home.mkdir()
        open_database(settings, home).close()
    database = open_database(settings, homes[0])
    check_belongs(storage, database.service(), set())
    database.close()
    study = submit(storage)
    if "://" not in place:
        os.utime(tmp_path / "studies" / study, (0, 0))  # old enough to be swept
    with pytest.raises(SafsError, match="another service"):
        serve(settings, homes[1], None, None)
    assert storage.studies() == {study}
