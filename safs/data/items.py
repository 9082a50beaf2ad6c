"""From a map-style `torch.utils.data.Dataset`, or anything that is one in all but name, to tensors."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from safs.data.dataset import Split
from safs.data.pixels import from_pil, one_line, stack
from spaces.errors import SafsError


def read_items(dataset: Any, name: str, *, channels: int | None, size: int | None) -> Split:
    """Return all items of a dataset; its number of classes is that of its `classes`, if it has them.

    Args:
        dataset: has a length and, by number, pairs of an image (PIL, or a tensor [c, h, w] that is uint8 or float32)
            and a label, an integer.
        name: of the dataset, for errors.
        channels, size: as of `safs.data.pixels.stack`.

    Raises:
        SafsError: if it is empty, fails, or an item is something else.
    """
    n = len(dataset)
    if not n:
        raise SafsError(f"Dataset {name!r} must have at least one image, but is empty.")
    labels = torch.empty(n, dtype=torch.int64)
    images = stack(_images(dataset, name, labels), n, channels=channels, size=size)
    classes: Any = getattr(dataset, "classes", None)
    return Split(images, labels, len(classes) if hasattr(classes, "__len__") else None)


def _images(dataset: Any, name: str, labels: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield each image with its name, and write its label into `labels`."""
    for row in range(len(labels)):
        what = f"Dataset {name!r}: image {row}"
        try:
            item = dataset[row]
        except Exception as error:  # whatever the dataset's own code raises
            raise SafsError(f"{what} cannot be read: {type(error).__name__}: {one_line(error)}") from error
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise SafsError(f"{what} must come as a pair (image, label), but is a {type(item).__name__}.")
        image, label = item
        try:
            labels[row] = operator.index(label)
        except (TypeError, RuntimeError):
            raise SafsError(f"{what} must have one class, an integer, as its label, but has {label!r:.60}.") from None
        yield what, _tensor(image, what)


def _tensor(image: Any, what: str) -> Tensor:
    from PIL.Image import Image

    if isinstance(image, Image):
        return from_pil(image, what)
    if isinstance(image, Tensor) and image.ndim == 3 and image.dtype in (torch.uint8, torch.float32):
        return image
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else f"a {type(image).__name__}"
    raise SafsError(f"{what} must be a PIL image or a tensor [c, h, w] of uint8 or float32, but is {found}.")
