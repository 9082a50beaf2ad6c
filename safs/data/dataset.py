"""One split of a dataset as tensors, and how raw pixels become one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spaces.errors import SafsError


@dataclass(frozen=True, eq=False)
class Data:
    """One split of a labelled image set.

    Attributes:
        images: [n, c, h, w], float32, normalised.
        labels: [n], int64, in [0, classes), on the same device.
        classes: Number of classes.
    """

    images: Tensor
    labels: Tensor
    classes: int

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != torch.float32:
            raise SafsError(f"Images must be float32 [n, c, h, w], but got {images.dtype} {list(images.shape)}.")
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise SafsError(f"Labels must be int64 [n], but got {labels.dtype} {list(labels.shape)}.")
        if len(images) != len(labels) or len(labels) == 0:
            raise SafsError(f"Every image needs one label, but got {len(images)} images and {len(labels)} labels.")
        if images.device != labels.device:
            raise SafsError(f"Images and labels must share a device, but are on {images.device} and {labels.device}.")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise SafsError(f"Labels must lie in [0, {self.classes}), but span {low} to {high}.")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Data:
        """Return the same split on `device`."""
        return Data(self.images.to(device), self.labels.to(device), self.classes)

    def fingerprint(self) -> str:
        """Return 16 hex digits of the SHA-256 of shape, images and labels: the same on every device."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.classes)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


def from_pixels(pixels: Tensor, labels: Tensor, classes: int, mean: Sequence[float], std: Sequence[float]) -> Data:
    """Return uint8 images [n, c, h, w] scaled to [0, 1] and normalised per channel with the constants given."""
    images = pixels.to(torch.float32).div_(255)
    images.sub_(torch.tensor(mean).view(-1, 1, 1)).div_(torch.tensor(std).view(-1, 1, 1))
    return Data(images, labels.to(torch.int64), classes)
