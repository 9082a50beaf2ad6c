"""What a trial needs, what the nodes of a cluster have, and how many trials fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safs.config.resources import ResourcesConfig
from spaces.errors import SafsError

_GPU_KIND = "accelerator_type:"
_PRECISION = 1e4
"""Ray counts in ten-thousandths."""


@dataclass(frozen=True)
class Need:
    """What a worker reserves: CPU cores, and a share of one GPU in [0, 1]."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        cpus = f"{self.cpus:g} CPU{'s' if self.cpus != 1 else ''}"
        return f"{cpus} and {self.gpus:g} GPU" if self.gpus else cpus


@dataclass(frozen=True)
class Node:
    """A node that is there: what it has in all, whoever uses it, and the kind of its GPUs ("" if it has none)."""

    id: str
    cpus: float
    gpus: float
    kind: str

    def room(self, need: Need) -> int:
        """Return how many trials fit at a time."""
        room = [math.floor(self.cpus / need.cpus)]
        if need.gpus:
            room.append(math.floor(self.gpus) * math.floor(1 / need.gpus))
        return min(room)


def nodes(described: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Return the nodes that are there, of those that `ray.nodes` describes."""
    found = []
    for node in described:
        if node["Alive"]:
            has = node["Resources"]
            kinds = [name.removeprefix(_GPU_KIND) for name in has if name.startswith(_GPU_KIND)]
            gpus = has.get("GPU", 0.0)
            found.append(Node(node["NodeID"], has.get("CPU", 0.0), gpus, " ".join(kinds) if gpus else ""))
    return found


def need(resources: ResourcesConfig, there: Sequence[Node]) -> Need:
    """Return what each trial reserves; where the config leaves the device open, a GPU if the cluster has one."""
    gpus = resources.gpus_per_trial
    if gpus is None:
        wants = resources.device == "cuda" or (resources.device == "auto" and any(node.gpus for node in there))
        gpus = 1.0 if wants else 0.0
    if gpus:
        gpus = math.floor(_PRECISION / round(1 / gpus)) / _PRECISION
    return Need(resources.cpus_per_trial or resources.threads, gpus)


def check_room(need: Need, there: Sequence[Node]) -> None:
    """Check that the cluster has a node for a trial.

    Raises:
        SafsError: if not, saying what is missing.
    """
    if any(node.room(need) for node in there):
        return
    has = Need(sum(node.cpus for node in there), sum(node.gpus for node in there))
    if has.cpus >= need.cpus and has.gpus >= need.gpus:
        raise SafsError(f"A trial needs {need} on one node, which none of the cluster's {len(there)} nodes has.")
    raise SafsError(
        f"A trial needs {need}, but the cluster has {has.cpus:g} CPUs and {has.gpus:g} GPUs; lower "
        "`resources.cpus_per_trial`, `threads` or `gpus_per_trial`, or add nodes."
    )


class Capacity:
    """What the cluster has room for, as of the last look.

    Args:
        resources: what trials may use.
        described: the cluster's nodes, by `ray.nodes`.

    Attributes:
        need: what each trial reserves.

    Raises:
        SafsError: if there is no node for a trial.
    """

    def __init__(self, resources: ResourcesConfig, described: Sequence[Mapping[str, Any]]) -> None:
        self._workers = resources.workers
        self.look(described)
        self.need = need(resources, self._nodes)
        check_room(self.need, self._nodes)

    def look(self, described: Sequence[Mapping[str, Any]]) -> None:
        """See which nodes are there."""
        self._nodes = nodes(described)

    def has(self, node: str) -> bool:
        """Return whether a node is there."""
        return any(there.id == node for there in self._nodes)

    def nodes_for(self, need: Need) -> list[str]:
        """Return the nodes that are large enough for so much."""
        return [node.id for node in self._nodes if node.room(need)]

    @property
    def most(self) -> int:
        """How many trials fit on the nodes that are there."""
        return sum(node.room(self.need) for node in self._nodes)

    @property
    def room(self) -> int:
        """How many trials may run at a time."""
        return self.most if self._workers == "max" else self._workers

    @property
    def whole_device(self) -> Need:
        """What a trial reserves that is to be alone: a GPU, or all cores of the largest node."""
        if self.need.gpus:
            return Need(self.need.cpus, 1.0)
        return Need(max([self.need.cpus, *(node.cpus for node in self._nodes)]), 0.0)

    @property
    def device(self) -> str:
        """What trials train on: "cpu", or the kinds of GPUs."""
        if not self.need.gpus:
            return "cpu"
        return ", ".join(sorted({node.kind for node in self._nodes if node.room(self.need)})) or "cuda"
