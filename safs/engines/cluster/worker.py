"""What runs on a worker of the cluster: one trial after the other, while another thread answers how it gets on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safs.engines.cluster.progress import Progress
from safs.out_of_memory import out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

    from safs.engines.cluster.parcels import Parcel
    from safs.outcome import TrialOutcome
    from safs.spec import TrialSpec

TrialFunction = Callable[..., "tuple[TrialOutcome, dict[str, Tensor] | None]"]
"""Runs a trial, given its spec, its problem and callbacks: `safs.trial.run_trial`, or what stands in for it where only
the engine is measured, and no problem is known."""

Epochs = list[tuple[int, float]]
"""Epochs that ended, counted from 1, with their mean training losses."""


@dataclass(frozen=True)
class Place:
    """Where a worker runs.

    Attributes:
        node: Ray's id of the node.
        host, pid: the process.
        gpu: the GPU that it has, or has a share of; "" if it has none.
    """

    node: str
    host: str
    pid: int
    gpu: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def device(self) -> tuple[str, str]:
        """The device, of all in the cluster, that it trains on."""
        return self.node, self.gpu


class TrialWorker:
    """An actor that trains. Nothing heavy is imported before it is needed.

    Args:
        path: where the driver finds modules: the user's own network may be there, too.
        device: "cpu" or "cuda".
        share: how much of the GPU's memory this process may take, in (0, 1].
    """

    def __init__(self, path: Sequence[str], device: str, share: float) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]
        self._device = device
        self._share = share
        self._receiver: Any = None
        self._progress: Progress | None = None

    def prepare(self, trial: TrialFunction, versions: Mapping[str, str | None]) -> Place:
        """Import what trials need, which takes seconds, and return where this worker runs.

        Args:
            trial: runs trials; to unpickle it was to import its module.
            versions: the driver's of what decides the outcomes of trials.

        Raises:
            SafsError: if this node has others: outcomes would depend on where a trial ran.
        """
        import os
        import socket

        import ray

        from safs.versions import training_versions
        from spaces.errors import SafsError

        host = socket.gethostname()
        for package, here in training_versions().items():
            if here != versions[package]:
                there = versions[package]
                raise SafsError(f"{host} has {package} {here}, but the driver has {there}: results would differ.")
        self._trial = trial
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        return Place(context.get_node_id(), host, os.getpid(), " ".join(gpus))

    def run(self, spec: TrialSpec, parcel: Parcel | None) -> tuple[TrialOutcome, dict[str, Tensor] | None, Epochs]:
        """Run a trial and return its outcome, its trained network if it is to be kept, and its epochs."""
        self._progress = progress = Progress()
        try:
            problem = self._problems().unpack(parcel) if parcel is not None else None
            outcome, trained = self._trial(spec, problem, [progress])
            return outcome, trained, progress.epochs
        except Exception as error:
            from safs.outcome import Reason
            from safs.trial import failed

            if not out_of_memory(error):
                raise
            return failed(Reason.OOM), None, []
        finally:
            self._progress = None
            self._give_back()

    def progress(self) -> tuple[float, Epochs]:
        """Return for how many seconds the running trial has done no step, and its epochs."""
        progress = self._progress
        return (progress.stalled, list(progress.epochs)) if progress else (0.0, [])

    def _problems(self) -> Any:
        """Return what unpacks problems; made with the first trial, as it imports torch."""
        if self._receiver is None:
            import torch

            from safs.engines.cluster.parcels import Receiver

            if self._device == "cuda":
                torch.cuda.set_per_process_memory_fraction(self._share)
            self._receiver = Receiver(self._device, self._share)
        return self._receiver

    def _give_back(self) -> None:
        """Return the GPU's memory that a trial used to the others that share it."""
        if self._device == "cuda":
            import contextlib
            import gc

            import torch

            gc.collect()
            with contextlib.suppress(RuntimeError):  # the trial may have broken the GPU's context, and says so itself
                torch.cuda.empty_cache()
