"""Iterative magnitude pruning with rewinding: train, prune a share, rewind, repeat (Frankle & Carbin 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from safs.masks import Mask, prunable_weights
from safs.pruning.magnitude import magnitudes
from safs.pruning.method import Given, PruningMethod, check_count
from safs.pruning.selection import exponential_counts, narrow, removed_count
from safs.state import load_state
from spaces.errors import SafsError


@dataclass(frozen=True)
class IterativeMagnitude(PruningMethod):
    """Find a lottery ticket: a mask, and early weights that it can be trained from.

    Frankle & Carbin (2019), Section 1, with the rewinding of Frankle et al. (2020), Algorithm 2: the network is
    trained from the weights it has, W_0, over all epochs; W_k are its weights after the first k. Each round removes
    the same share of the weights that are left, the smallest of all layers together, sets the others back to W_k
    and trains them over the epochs from k on, with the data and the learning rates of these epochs. The share is
    such that exactly floor(ratio·n) weights are gone after the last round, whose mask is the result. The network is
    left at W_k: the ticket, ready to be trained.

    The optimiser's moments start anew at W_k.

    Attributes:
        rounds: how often weights are removed, and the network is trained. With 5 rounds to 99 %, each removes 60 % of
            what is left; the papers remove 20 % a round, which takes 21.
        rewind_epoch: k; 0 rewinds to W_0.
    """

    rounds: int = 5
    rewind_epoch: int = 1

    needs: ClassVar[tuple[str, ...]] = ("train",)

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, 1)
        check_count("rewind_epoch", self.rewind_epoch, 0)

    def check_epochs(self, epochs: int) -> None:
        """Raise SafsError if a training of so many epochs does not go past the one that is rewound to."""
        if self.rewind_epoch >= epochs:
            raise SafsError(
                f"'rewind_epoch' must be below the {epochs} epochs of a training, but got {self.rewind_epoch}."
            )

    @property
    def trainings(self) -> int:
        """How often the network is trained."""
        return self.rounds + (self.rewind_epoch > 0)

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        train = given.train
        assert train is not None, "a method gets what it needs"
        self.check_epochs(train.epochs)
        weights = prunable_weights(model)
        total = sum(weight.numel() for weight in weights.values())
        mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
        trained = train(model, {}, step="dense", span=(0, train.epochs))
        if self.rewind_epoch:
            load_state(model, train(model, {}, step="rewind", span=(0, self.rewind_epoch)))
        for done, kept in enumerate(exponential_counts(total, total - removed_count(ratio, total), self.rounds)):
            if done:
                trained = train(model, mask, step=f"round{done + 1}", span=(self.rewind_epoch, train.epochs))
            scores = magnitudes({name: trained[name].to(weight.device) for name, weight in weights.items()})
            mask = narrow(mask, scores, kept)
        return mask
