"""A trial as the journal of a study has it."""

import json

from safs.outcome import Status, TrialOutcome
from safs.protocol import Protocol
from safs.spec import TrialSpec

SPEC = TrialSpec("pruned", ("relu", "srs"), Protocol(epochs=4), 0, cost="validation_error", folds=3, fold=1)
DONE = TrialOutcome(Status.SUCCEEDED, 0.25, metrics={"validation_accuracy": 0.75}, seconds=1.5, peak_memory=7)


def line(**changes):
    record = {"kind": "trial", "id": SPEC.id, "phase": "safs", "spec": SPEC.to_json(), "outcome": DONE.to_json()}
    return json.dumps(record | changes).encode() + b"\n"
