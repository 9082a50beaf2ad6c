"""What a process says of how it ended."""

import errno
import json
from pathlib import Path

import pytest

from safs.engines.cluster.connection import ClusterLostError
from safs.journal import HeldError
from safs.service.states import Reason
from safs.service.worker.said import How, Said, said_of
from safs.storage import StorageError
from spaces.errors import SafsError

FULL = StorageError(Path("x"), OSError(errno.ENOSPC, "full"))
FULL.__cause__ = OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize(
    ("error", "how", "reason"),
    [
        (HeldError("held"), How.HELD, None),
        (SafsError("bad"), How.ERROR, Reason.ERROR),
        (FULL, How.ERROR, Reason.DISK),
        (ClusterLostError("gone"), How.LOST, Reason.LOST),
        (MemoryError(), How.ERROR, Reason.OOM),
        (ZeroDivisionError("by zero"), How.ERROR, Reason.ERROR),
    ],
)
def test_what_a_process_says_of_its_end_arrives(error, how, reason):
    said = said_of(error)
    assert (said.how, said.reason) == (how, reason)
    assert Said.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert said.sentence
