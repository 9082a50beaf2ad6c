"""A training protocol: everything that says how a network is fine-tuned, apart from its activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from spaces.errors import SafsError, lookup
from spaces.hyperparameters import OPTIMIZERS, SCHEDULES, WITH_MOMENTUM, WITH_WEIGHT_DECAY


@dataclass(frozen=True)
class Protocol:
    """How to train.

    Attributes:
        epochs: passes over the training examples, at least 1.
        batch_size: examples per step; an incomplete last batch is left out, its examples come in another epoch.
        optimizer, schedule: names of Table 4; the schedule moves once per epoch.
        lr: the learning rate of the weights.
        scale_lr: the learning rate of α, β and operator constants, as a multiple of `lr`.
        momentum: for SGD.
        weight_decay: for SGD, Adam and TAdam; never applied to α, β and operator constants.
        restart_period: for cosine_restarts, the epochs between restarts; None means a quarter of `epochs`.

    Raises:
        SafsError: if a value is out of its range.
        UnknownNameError: if the optimiser or schedule is not known.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: int
    batch_size: int = 128
    optimizer: str = "adam"
    lr: float = 1e-2
    schedule: str = "cosine"
    momentum: float = 0.0
    weight_decay: float = 0.0
    scale_lr: float = 1.0
    restart_period: int | None = None

    def __post_init__(self) -> None:
        lookup("optimizer", self.optimizer, dict.fromkeys(OPTIMIZERS))
        lookup("schedule", self.schedule, dict.fromkeys(SCHEDULES))
        for name in ("epochs", "batch_size"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise SafsError(f"{name} must be at least 1, and a whole number, but got {getattr(self, name)}.")
        for name in ("lr", "scale_lr", "momentum", "weight_decay"):  # 1 and 1.0 are equal: one id, one seed
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("lr", "scale_lr"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SafsError(f"{name} must be above 0 and finite, but got {getattr(self, name)}.")
        for name, end in (("momentum", 1.0), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, name) < end:
                raise SafsError(f"{name} must lie in [0, {end}), but got {getattr(self, name)}.")
        for name, takers in (("momentum", WITH_MOMENTUM), ("weight_decay", WITH_WEIGHT_DECAY)):
            if getattr(self, name) and self.optimizer not in takers:
                raise SafsError(f"{self.optimizer} has no {name}; leave it out, or use {' or '.join(takers)}.")
        if self.restart_period is not None:
            self._check_restarts(self.restart_period)

    def _check_restarts(self, period: int) -> None:
        if self.schedule != "cosine_restarts":
            raise SafsError(f"{self.schedule} has no restart_period; leave it out, or use cosine_restarts.")
        if not isinstance(period, int) or period < 1:
            raise SafsError(f"restart_period must be at least 1, and a whole number, but got {period}.")

    def to_json(self) -> dict[str, Any]:
        """Return the protocol as JSON values; without a restart period, as before there was one: the same ids."""
        values = asdict(self)
        if self.restart_period is None:
            del values["restart_period"]
        return values

    def tuned(self, hyperparameters: Mapping[str, Any]) -> Protocol:
        """Return the protocol of a stage-2 configuration: its values, with this one's epochs and batch size."""
        return Protocol(epochs=self.epochs, batch_size=self.batch_size, **hyperparameters)
