"""Jobs that no worker has yet."""

from __future__ import annotations

from safs.engines.cluster.jobs import Job
from safs.engines.queue import TrialQueue
from safs.spec import TrialSpec


class Waiting:
    """Jobs that wait for a worker.

    Attributes:
        shared: those that may share a device.
        alone: those that ran out of memory, and wait for a device of their own.
    """

    def __init__(self) -> None:
        self.shared: TrialQueue[Job] = TrialQueue()
        self.alone: TrialQueue[Job] = TrialQueue()

    def __len__(self) -> int:
        return len(self.shared) + len(self.alone)

    def hurry(self, spec: TrialSpec) -> None:
        """Take a trial out of the background."""
        self.shared.hurry(lambda job: job.spec == spec)

    def clear(self) -> None:
        """Remove all."""
        self.shared.clear()
        self.alone.clear()
