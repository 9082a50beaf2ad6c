"""Decoding images, and putting many into one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from safs.data.memory import check_room
from safs.data.normalisation import chunks
from spaces.errors import SafsError, brief

_GREY = ("1", "L", "LA", "La")


def decode(encoded: bytes | Path, what: str) -> Tensor:
    """Return the pixels of an encoded image or image file, uint8 [c, h, w].

    Raises:
        SafsError: if it cannot be decoded; it begins with `what`, the image's name.
    """
    from PIL import Image

    try:
        with Image.open(encoded if isinstance(encoded, Path) else BytesIO(encoded)) as opened:
            return from_pil(opened, what)
    except SafsError:
        raise
    except Exception as error:  # the decoders raise whatever the broken bytes lead them into
        raise SafsError(f"{what} cannot be decoded: {brief(error)}") from error


def from_pil(image: Any, what: str) -> Tensor:
    """Return the pixels of a PIL image, uint8 [1, h, w] if it is grey, else [3, h, w]; transparency is dropped.

    Raises:
        SafsError: if it cannot be decoded, or has more than 8 bits; it begins with `what`, the image's name.
    """
    if image.mode[0] in "IF":
        raise SafsError(f"{what} has more than 8 bits a pixel (mode {image.mode}); convert the images to 8 bits.")
    try:
        decoded = np.array(image.convert("L" if image.mode in _GREY else "RGB"))
    except Exception as error:  # an image that was opened is decoded only now
        raise SafsError(f"{what} cannot be decoded: {brief(error)}") from error
    pixels = torch.from_numpy(decoded)
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def stack(images: Iterable[tuple[str, Tensor]], n: int, *, channels: int | None, size: int | None) -> Tensor:
    """Return `n` images as one tensor [n, c, h, w] of their type, which is filled as they come.

    Args:
        images: each with its name, [c, h, w].
        n: how many there are.
        channels: of the result; None makes it grey if all images are, else gives grey ones three equal channels.
        size: height and width to resize to; None demands that all have the same.

    Raises:
        SafsError: if sizes, types or channels differ, or they do not fit into the host's memory.
    """
    stacked: Tensor | None = None
    for row, (what, image) in enumerate(images):
        if stacked is None:
            pixels = (size, size) if size is not None else tuple(image.shape[1:])
            stacked = _room((n, channels or image.shape[0], *pixels), image.dtype)
        if size is not None and image.shape[1:] != (size, size):
            image = _resized(image.unsqueeze(0), size)[0]
        if image.shape[0] == 3 and stacked.shape[1] == 1 and channels is None:
            coloured = _room((n, 3, *stacked.shape[2:]), stacked.dtype)
            coloured[:row] = stacked[:row]
            stacked = coloured
        _check(what, image, stacked)
        stacked[row] = image
    assert stacked is not None, "there is at least one image"
    return stacked


def _room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return room for images [n, c, h, w], unfilled; SafsError if the host has none."""
    check_room(shape, dtype.itemsize)
    return torch.empty(shape, dtype=dtype)


def _check(what: str, image: Tensor, stacked: Tensor) -> None:
    height, width = stacked.shape[2:]
    if image.shape[1:] != stacked.shape[2:]:
        raise SafsError(
            f"{what} is {image.shape[1]}×{image.shape[2]}, but those before are {height}×{width}; "
            "set `data.image_size` to resize all images."
        )
    if image.dtype != stacked.dtype:
        raise SafsError(f"{what} is {image.dtype}, but those before are {stacked.dtype}.")
    if image.shape[0] not in (1, stacked.shape[1]):
        raise SafsError(f"{what} has {image.shape[0]} channels, but the dataset has {stacked.shape[1]}.")


def resize(images: Tensor, size: int) -> Tensor:
    """Return images [n, c, h, w], uint8 or float32, resized to size×size, bilinearly with antialiasing.

    Raises:
        SafsError: if they do not fit into the host's memory.
    """
    if images.shape[2:] == (size, size):
        return images
    n, channels = images.shape[:2]
    result = _room((n, channels, size, size), images.dtype)
    start = 0
    for part in chunks(images, become=channels * size * size):
        result[start : start + len(part)] = _resized(part, size)
        start += len(part)
    return result


def _resized(images: Tensor, size: int) -> Tensor:
    smooth = F.interpolate(images.to(torch.float32), size=(size, size), mode="bilinear", antialias=True)
    return smooth.round_().clamp_(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else smooth
