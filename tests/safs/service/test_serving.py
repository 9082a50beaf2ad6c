"""What goes on beside a server: its worker is started again, whatever happens, and what others left is removed."""

import os
import time

from safs.service import serving
from safs.service.storage import opening
from tests.safs.service.conftest import eventually


class Ending:
    """An end that comes after so many pauses."""

    def __init__(self, most):
        self.pauses = []
        self._most = most

    def is_set(self):
        return len(self.pauses) >= self._most

    def wait(self, seconds):
        self.pauses.append(seconds)
        return self.is_set()


def test_a_worker_that_cannot_be_started_is_tried_again_and_one_that_ran_well_starts_afresh(monkeypatch):
    now, ran, tried = 0.0, [0.0, 0.0, 0.0, 61.0, 0.0], []

    def run(worker, environment, ending):
        nonlocal now
        tried.append((worker, environment))
        now += ran[len(tried) - 1]
        if len(tried) != 4:
            raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(serving, "_run", run)
    monkeypatch.setattr(serving.time, "monotonic", lambda: now)
    ending = Ending(5)
    serving._keep(["worker"], {"A": "B"}, ending)
    assert tried == [(["worker"], {"A": "B"})] * 5
    assert ending.pauses == [1.0, 2.0, 4.0, 1.0, 2.0]


def test_what_was_killed_long_ago_is_removed_while_it_serves(database, tmp_path, monkeypatch):
    storage = opening.open_storage(None, tmp_path, 1.0)
    left, recent = (tmp_path / "studies" / name for name in (".incoming-old", ".incoming-new"))
    for folder in (left, recent):
        folder.mkdir()
    long_ago = time.time() - serving._STALE_S - 60
    os.utime(left, (long_ago, long_ago))
    monkeypatch.setattr(serving, "_TAKE_BACK_S", 0.05)
    monkeypatch.setattr(serving, "_SWEEP_S", 0.1)
    with serving._cleaning_up(database, storage):
        eventually(lambda: not left.exists())
    assert recent.exists()
