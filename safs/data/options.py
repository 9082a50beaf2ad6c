"""How a dataset is read and held: what a config's `data` says apart from name and root."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from safs.data.augmentation import Augmentation
from safs.data.placement import Residence
from spaces.errors import SafsError, nearest_name


@dataclass(frozen=True)
class Options:
    """How a dataset is read and held.

    Attributes:
        kwargs: for `torchvision/NAME` and `package.module:factory`, arguments; for `parquet`, which files and column.
        image_size: images are resized to this height and width, bilinearly with antialiasing; their aspect ratio is
            not kept. None leaves them as they are.
        trust_pickle: whether files may be opened that are pickles.
        augmentation: what training images go through.
        residence: where images are held, see `safs.data.placement`.
    """

    kwargs: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    trust_pickle: bool = False
    augmentation: Augmentation | None = None
    residence: Residence = "auto"


def check_kwargs(name: str, kwargs: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise SafsError if a dataset does not know one of its arguments."""
    for key in kwargs:
        if key not in known:
            nearest = nearest_name(key, known)
            hint = f" did you mean {nearest!r}?" if nearest else ""
            choices = ", ".join(known) or "none"
            raise SafsError(f"Dataset {name!r} knows no `data.kwargs.{key}`;{hint} known here: {choices}.")
