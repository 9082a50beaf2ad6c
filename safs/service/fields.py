"""Which key of a config an error is about, for those who show it beside a form."""

from __future__ import annotations

from safs.config.section import ConfigError
from spaces.errors import SafsError, UnknownNameError

_KEYS = {
    "model": "model.name",
    "torchvision model": "model.name",
    "dataset": "data.name",
    "torchvision dataset": "data.name",
    "pruning method": "prune.method",
    "pruning scope": "prune.scope",
    "searcher": "stage1.searcher",
    "operator": "stage1.operators",
    "engine": "resources.engine",
}
"""Where a name of each kind stands."""


class FieldError(SafsError):
    """What is wrong with a submission.

    Args:
        field: a key of the config, or the name of a part of the request.
        sentence: why.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def field_of(error: SafsError) -> str:
    """Return the key that an error is about; "config" where no key is known."""
    if isinstance(error, FieldError):
        return error.field
    if isinstance(error, ConfigError):
        return error.key or "config"
    return _KEYS.get(error.kind, "config") if isinstance(error, UnknownNameError) else "config"
