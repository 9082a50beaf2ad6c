"""The outcome of a trial: a cost, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a trial stands or ended."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    EARLY_STOPPED = "EARLY_STOPPED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why a trial failed."""

    OOM = "OOM"
    NAN = "NAN"
    TIMEOUT = "TIMEOUT"
    LOST = "LOST"
    ERROR = "ERROR"


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended.

    Attributes:
        status, reason, traceback: the status; the reason and where it happened if it failed.
        cost: what is minimised, or None if it failed.
        metrics: `train_loss` (nats, mean of the last epoch), `history` (of every epoch), and where they were
            asked for `validation_loss`, `validation_accuracy` (in [0, 1]), `gradient_flow` (mean squared gradient
            norm of every epoch).
        seconds: how long it took.
        peak_memory: the most bytes in use meanwhile: of its GPU by tensors, or of its process; None if not known.
    """

    status: Status
    cost: float | None = None
    reason: Reason | None = None
    traceback: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert (self.status is Status.SUCCEEDED) == (self.cost is not None), "only a success has a cost"
        assert (self.status is Status.FAILED) == (self.reason is not None), "only a failure has a reason"

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return {
            "status": self.status.value,
            "cost": self.cost,
            "reason": self.reason.value if self.reason else None,
            "traceback": self.traceback,
            "metrics": dict(self.metrics),
            "seconds": round(self.seconds, 3),
            "peak_memory": self.peak_memory,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialOutcome:
        """Return the outcome that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AssertionError: if it is damaged.
        """
        if not isinstance(values["cost"], float | int | None) or not isinstance(values["metrics"], Mapping):
            raise TypeError("a cost must be a number, and metrics must be a mapping")
        return cls(
            status=Status(values["status"]),
            cost=values["cost"],
            reason=Reason(values["reason"]) if values["reason"] else None,
            traceback=values["traceback"],
            metrics=values["metrics"],
            seconds=float(values["seconds"]),
            peak_memory=values.get("peak_memory"),
        )
