"""What a study tells of its progress."""

from safs.progress.tally import Tally
from safs.service.worker.telling import progress_of
from tests.safs.service.worker.records import DONE, SPEC


def test_progress_is_what_the_contract_says():
    tally = Tally()
    assert progress_of(tally) is None
    tally.expect(8, lambda spec: 4)
    tally.phase("stage 1", 2)
    assert progress_of(tally) is None
    tally.queued("stage1", SPEC)
    tally.started(SPEC, "here")
    tally.epoch(SPEC, 2, float("nan"))
    progress = progress_of(tally)
    (running,) = progress["running"]
    assert running == {"id": SPEC.id, "phase": "stage1", "worker": "here", "epoch": 2, "epochs": 4, "loss": None}
    assert (progress["phase"], progress["done"]) == ("stage1", 0.25)
    tally.trial("stage1", SPEC, DONE, cached=False)
    progress = progress_of(tally)
    assert (progress["phase"], progress["done"], progress["running"]) == ("stage1", 0.5, [])
    assert progress["seconds_left"] >= 0
