"""What a token may take: its own limits, and the service's where it has none."""

from __future__ import annotations

from dataclasses import dataclass

from safs.service.settings import Limits
from safs.service.store.tokens import Token


@dataclass(frozen=True)
class Allowance:
    """What a token may take.

    Attributes:
        queued: how many of its studies may wait.
        upload_bytes: of a checkpoint, and of a mask.
        gpus: that its running studies may take together; None for no limit.
    """

    queued: int
    upload_bytes: int
    gpus: float | None


def allowance(token: Token, limits: Limits) -> Allowance:
    """Return what a token may take."""
    return Allowance(
        queued=limits.queued if token.most_queued is None else token.most_queued,
        upload_bytes=limits.upload_bytes if token.most_bytes is None else token.most_bytes,
        gpus=token.most_gpus,
    )
