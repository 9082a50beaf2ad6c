"""The worker beside a server is started again, whatever happens."""

from safs.service import worker_beside


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

    monkeypatch.setattr(worker_beside, "_run", run)
    monkeypatch.setattr(worker_beside.time, "monotonic", lambda: now)
    ending = Ending(5)
    worker_beside._keep(["worker"], {"A": "B"}, ending)
    assert tried == [(["worker"], {"A": "B"})] * 5
    assert ending.pauses == [1.0, 2.0, 4.0, 1.0, 2.0]
