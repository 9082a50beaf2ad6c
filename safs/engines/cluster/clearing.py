"""Which devices are freed for a trial that is to be alone on one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from safs.engines.cluster.capacity import Capacity
from safs.engines.cluster.staff import Worker
from safs.engines.cluster.worker import Place

_PATIENCE_S = 60.0
"""How long one device more is waited for: somebody else may have taken what was freed."""


@dataclass(frozen=True)
class Clearing:
    """The devices that ordinary workers leave as they become idle.

    Attributes:
        devices: single ones, by node and GPU.
        nodes: nodes, with all their devices.
    """

    devices: frozenset[tuple[str, str]]
    nodes: frozenset[str]

    def is_in(self, worker: Worker) -> bool:
        """Return whether a worker is on one of the devices."""
        return worker.place is not None and (worker.place.device in self.devices or worker.place.node in self.nodes)


def clearing(alone: Worker, failed_on: Place | None, capacity: Capacity) -> Clearing:
    """Return what is to be freed: the device on which the trial failed, and one node more every minute.

    Args:
        alone: the worker that is to have a device to itself, and is not there yet.
        failed_on: where the trial failed.
        capacity: what the cluster has room for.
    """
    large = capacity.nodes_for(alone.need)
    devices: set[tuple[str, str]] = set()
    if failed_on is not None and failed_on.node in large:
        large.remove(failed_on.node)
        devices.add(failed_on.device)
    minutes = int((time.monotonic() - alone.hired) / _PATIENCE_S)
    nodes = large[: minutes + (not devices)]
    return Clearing(frozenset(devices), frozenset(nodes))
