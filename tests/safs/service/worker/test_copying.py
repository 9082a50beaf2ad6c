"""Trials on their way from the journal into the database."""

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from safs.service.storage.workplace import Carried
from safs.service.worker.copying import Copying
from safs.service.worker.ledger import Ledger
from tests.safs.service.worker.records import line


def test_what_was_stored_although_the_database_was_gone_before_it_said_so_is_not_stored_again(service, held, tmp_path):
    class Cut(Ledger):
        def add(self, *arguments):
            super().add(*arguments)
            raise OperationalError("", {}, sqlite3.OperationalError("cut"))

    lease, ledger = held
    (tmp_path / "journal.jsonl").write_bytes(line(id="a") + line(id="b"))
    cut = Cut(service.database, lease)
    copying = Copying(tmp_path / "journal.jsonl", cut)
    with pytest.raises(OperationalError):
        copying.catch_up({"done": 0.5}, Carried())
    cut.add = ledger.add
    assert copying.catch_up({"done": 0.5}, Carried())
    assert [trial["id"] for trial in service.trials(lease.study_id)] == ["a", "b"]
    assert service.get(lease.study_id).progress == {"done": 0.5, "trials": 2}
