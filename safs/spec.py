"""The spec of a trial: everything that its outcome depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from safs.protocol import Protocol
from spaces.errors import SafsError

CostName = Literal["train_loss", "validation_loss", "validation_error"]


@dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's outcome depends on, apart from the problem it is run on.

    Attributes:
        network: which problem it starts from: "dense", an untrained network, or "pruned".
        assignment: one operator per site, in forward order.
        protocol: how to train.
        study_seed: the study's seed, or the seed of one of several repetitions.
        cost: what its cost is.
        learn: whether α, β and the operators' constants are trained.
        per_channel: whether they are per channel instead of per site.
        folds, fold: train on all folds but number `fold` of `folds`, and validate on that; `folds = 0`: train on
            everything.
        keep: whether the trained network is kept; its gradient flow is recorded then.
        span: from after which epoch of the protocol to after which is trained, such as (1, 20); None: all of it.

    Raises:
        SafsError: if there is no such fold or span, or the cost needs a validation part and there is none.
    """

    network: str
    assignment: tuple[str, ...]
    protocol: Protocol
    study_seed: int
    cost: CostName = "train_loss"
    learn: bool = False
    per_channel: bool = False
    folds: int = 0
    fold: int = 0
    keep: bool = False
    span: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.span is not None:
            object.__setattr__(self, "span", tuple(self.span))  # JSON has lists
            if not 0 <= self.span[0] < self.span[1] <= self.protocol.epochs:
                raise SafsError(f"span must lie within the {self.protocol.epochs} epochs, but got {self.span}.")
        if not (self.folds == self.fold == 0 or (self.folds >= 2 and 0 <= self.fold < self.folds)):
            raise SafsError(f"fold must lie in [0, folds), with at least 2 folds, but got {self.fold} of {self.folds}.")
        if self.cost != "train_loss" and not self.folds:
            raise SafsError(f"The cost {self.cost} needs a validation part: set folds to 2 or more.")

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; without a span, as before there was one: the same ids."""
        values = {**asdict(self), "assignment": list(self.assignment), "protocol": self.protocol.to_json()}
        span = values.pop("span")
        return values if span is None else {**values, "span": list(span)}

    @property
    def id(self) -> str:
        """16 hexadecimal digits that name the spec: the same spec has the same id in every process."""
        return _digest(self.to_json())[:16]

    @property
    def seed(self) -> int:
        """The seed of the training: derived from study seed, assignment, hyperparameters and fold."""
        identity = [self.study_seed, list(self.assignment), self.protocol.to_json(), self.folds, self.fold]
        return int(_digest(identity)[:15], 16)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
