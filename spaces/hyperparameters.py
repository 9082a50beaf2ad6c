"""The stage-2 space: how to fine-tune a sparse network (Table 4 of the SAFS paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

OPTIMIZERS = ("sgd", "adam", "fromage", "tadam")
SCHEDULES = ("constant", "step", "linear", "cosine", "halving", "reduce_on_plateau", "cosine_restarts")
WITH_MOMENTUM = ("sgd",)
WITH_WEIGHT_DECAY = ("sgd", "adam", "tadam")


def hyperparameter_space(seed: int) -> ConfigurationSpace:
    """Return the conditional ConfigSpace of Table 4.

    Learning rate log-uniform in [1e-4, 1e-1]; optimiser; schedule; momentum, only with SGD; weight decay, only
    where the optimiser has one.

    `scale_lr`, the learning rate of α, β and the operators' constants as a multiple of `lr` (log-uniform in 0.1 to
    10), is not in Table 4: with one rate for both, learned factors did not help a 99 % pruned LeNet-5.

    Args:
        seed: seeds ConfigSpace's own sampling.
    """
    from ConfigSpace import (
        Categorical,
        ConfigurationSpace,
        EqualsCondition,
        Float,
        InCondition,
    )

    space = ConfigurationSpace(seed=seed)
    lr = Float("lr", (1e-4, 1e-1), log=True, default=1e-2)
    optimizer = Categorical("optimizer", list(OPTIMIZERS), default="adam")
    schedule = Categorical("schedule", list(SCHEDULES), default="cosine")
    momentum = Float("momentum", (0.0, 0.99), default=0.9)
    weight_decay = Float("weight_decay", (1e-6, 1e-2), log=True, default=1e-5)
    space.add(lr, optimizer, schedule, momentum, weight_decay)
    space.add(Float("scale_lr", (0.1, 10.0), log=True, default=1.0))
    space.add(EqualsCondition(momentum, optimizer, WITH_MOMENTUM[0]))
    space.add(InCondition(weight_decay, optimizer, list(WITH_WEIGHT_DECAY)))
    return space
