"""From a map-style `torch.utils.data.Dataset`, or anything that is one in all but name, to tensors."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from safs.data.dataset import Split
from safs.data.pixels import from_pil, stack
from safs.factories import users_code
from spaces.errors import SafsError


def read_items(dataset: Any, name: str, *, channels: int | None, size: int | None) -> Split:
    """Return all items of a dataset; its number of classes is that of its `classes`, if it has them.

    Args:
        dataset: has a length and, by number, pairs of an image (PIL, or a tensor [c, h, w] that is uint8 or float32)
            and a label, an integer.
        name: of the dataset, for errors.
        channels, size: as of `safs.data.pixels.stack`.

    Raises:
        SafsError: if it is empty, fails, an item is something else, or they do not fit into the host's memory.
    """
    with users_code(f"Dataset {name!r}: its length cannot be told"):
        n = len(dataset)
    if not n:
        raise SafsError(f"Dataset {name!r} must have at least one image, but is empty.")
    labels = array("q")
    images = stack(_images(dataset, n, name, labels), n, channels=channels, size=size)
    with users_code(f"Dataset {name!r}: its `classes` cannot be counted"):
        classes: Any = getattr(dataset, "classes", None)
        count = len(classes) if hasattr(classes, "__len__") else None
    return Split(images, torch.tensor(labels, dtype=torch.int64), count)


def _images(dataset: Any, n: int, name: str, labels: array[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield each image with its name, and append its label to `labels`, signed 64-bit integers."""
    for row in range(n):
        what = f"Dataset {name!r}: image {row}"
        with users_code(f"{what} cannot be read"):
            item = dataset[row]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise SafsError(f"{what} must come as a pair (image, label), but is a {type(item).__name__}.")
        image, label = item
        try:
            labels.append(operator.index(label))
        except (TypeError, ValueError, RuntimeError, OverflowError):  # what is no integer, or none of 64 bits
            found = " ".join(repr(label).split())
            raise SafsError(f"{what} must have one class, an integer, as its label, but has {found:.60}.") from None
        yield what, _tensor(image, what)


def _tensor(image: Any, what: str) -> Tensor:
    from PIL.Image import Image

    if isinstance(image, Image):
        return from_pil(image, what)
    if isinstance(image, Tensor) and _is_image(image):
        with users_code(f"{what} cannot be read"):  # from its device, if it is on one
            return image.detach().cpu()
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else f"a {type(image).__name__}"
    raise SafsError(f"{what} must be a PIL image or a tensor [c, h, w] of uint8 or float32, but is {found}.")


def _is_image(image: Tensor) -> bool:
    kinds = image.dtype in (torch.uint8, torch.float32) and image.layout is torch.strided
    return kinds and image.ndim == 3 and image.numel() > 0
