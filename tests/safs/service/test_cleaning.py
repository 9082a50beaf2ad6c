"""What killed processes left is removed while a server runs."""

import os
import time

from safs.service import cleaning
from safs.service.storage import opening
from tests.safs.service.conftest import eventually


def test_what_was_killed_long_ago_is_removed_while_it_serves(database, tmp_path, monkeypatch):
    storage = opening.open_storage(None, tmp_path, 1.0)
    left, recent = (tmp_path / "studies" / name for name in (".incoming-old", ".incoming-new"))
    for folder in (left, recent):
        folder.mkdir()
    long_ago = time.time() - cleaning._STALE_S - 60
    os.utime(left, (long_ago, long_ago))
    monkeypatch.setattr(cleaning, "_TAKE_BACK_S", 0.05)
    monkeypatch.setattr(cleaning, "_SWEEP_S", 0.1)
    with cleaning.cleaning_up(database, storage):
        eventually(lambda: not left.exists())
    assert recent.exists()
