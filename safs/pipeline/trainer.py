"""Trainings of a pruning method as trials: pure functions of their specs, like all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor, nn

from safs.masks import Mask
from safs.protocol import Protocol
from safs.spec import TrialSpec
from safs.trial import Problem


class TrialTrainer:
    """Trains a network, with its own activations, for a pruning method (see `safs.pruning.method.Trainer`).

    Args:
        initial: a problem whose sites, data and threads are those of every training.
        protocol: how a whole training goes.
        seed: of the study; every training sees the examples in the same order.
        run: runs a trial on a problem, which is to be known by the name that the spec has as its `network`, and
            returns the trained state dict.
    """

    def __init__(
        self,
        initial: Problem,
        protocol: Protocol,
        seed: int,
        run: Callable[[TrialSpec, Problem], Mapping[str, Tensor]],
    ) -> None:
        self._initial = initial
        self._protocol = protocol
        self._seed = seed
        self._run = run

    @property
    def epochs(self) -> int:
        """The epochs of a whole training."""
        return self._protocol.epochs

    def __call__(self, network: nn.Module, mask: Mask, *, step: str, span: tuple[int, int]) -> Mapping[str, Tensor]:
        """Return the state dict after training a network; without a mask it is the problem "dense", else `step`."""
        spec = TrialSpec(
            network=step if mask else "dense",
            assignment=self._initial.sites.original,
            protocol=self._protocol,
            study_seed=self._seed,
            keep=True,
            span=None if span == (0, self.epochs) else span,
        )
        return self._run(spec, replace(self._initial, model=network, mask=mask))
