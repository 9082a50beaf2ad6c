"""One split of a dataset: its images, where they are held, and what becomes of them on the way to the network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from safs.data.augmentation import Augmentation
from safs.data.normalisation import Normalisation, as_floats, chunks
from spaces.errors import SafsError


@dataclass(frozen=True, eq=False)
class Data:
    """One split of a labelled image set. Batches are made by `safs.data.feed`.

    Attributes:
        images: [n, c, h, w]: float32, what the network sees, or uint8, pixels that are normalised batch by batch.
        labels: [n], int64, in [0, classes), on the device that trains.
        classes: Number of classes.
        normalisation: What pixels are, or were, normalised with; None where images came as floats.
        augmentation: What training batches go through.
        streamed: Whether the images stay in the host's memory and batches are sent from there.
    """

    images: Tensor
    labels: Tensor
    classes: int
    normalisation: Normalisation | None = None
    augmentation: Augmentation | None = None
    streamed: bool = False

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        _check_shapes(images, labels)
        if images.dtype == torch.uint8 and self.normalisation is None:
            raise SafsError("Images that are uint8 pixels need a normalisation.")
        if images.device != labels.device and not (self.streamed and images.device.type == "cpu"):
            raise SafsError(f"Images and labels must share a device, but are on {images.device} and {labels.device}.")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise SafsError(f"Labels must lie in [0, {self.classes}), but span {low} to {high}.")
        if self.augmentation and self.augmentation.crop >= min(self.shape[1:]):
            raise SafsError(
                f"The padding of a random crop must be smaller than the image, {self.shape[1]}×{self.shape[2]}, "
                f"but is {self.augmentation.crop}; set `data.augment.crop`."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        return self.labels.device

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, (c, h, w)."""
        return tuple(self.images.shape[1:])

    def describe(self) -> dict[str, Any]:
        """Return, as JSON, how many examples there are, what they are normalised with, and where they are held."""
        return {
            "examples": len(self),
            "shape": list(self.shape),
            "classes": self.classes,
            "held_as": str(self.images.dtype).removeprefix("torch."),
            "bytes": self.images.nbytes,
            "streamed": self.streamed,
            "normalisation": asdict(self.normalisation) if self.normalisation else None,
            "augmentation": asdict(self.augmentation) if self.augmentation else None,
        }

    def fingerprint(self) -> str:
        """Return 16 hex digits of the SHA-256 of shape, normalised images, labels and augmentation.

        It is the same on every device, and however the images are held.
        """
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.classes)).encode())
        for part in as_floats(self.images, self.normalisation):
            digest.update(part.contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        if self.augmentation is not None:
            digest.update(repr(self.augmentation).encode())
        return digest.hexdigest()[:16]


def from_pixels(pixels: Tensor, labels: Tensor, classes: int, mean: Sequence[float], std: Sequence[float]) -> Data:
    """Return uint8 images [n, c, h, w] that are normalised per channel with constants of pixels in [0, 1]."""
    return Data(pixels, labels.to(torch.int64), classes, Normalisation(tuple(mean), tuple(std)))


@dataclass(frozen=True, eq=False)
class Split:
    """One split as a reader found it, before anything is known that only the training split can tell.

    Attributes:
        images: [n, c, h, w]: uint8 pixels, or float32 as the network shall see them.
        labels: [n], int64.
        classes: Number of classes, or None where the set does not say.
    """

    images: Tensor
    labels: Tensor
    classes: int | None = None

    def check(self) -> None:
        """Raise SafsError if these are no labelled images, or one has a value that is not finite, naming the first."""
        _check_shapes(self.images, self.labels)
        if self.images.dtype == torch.float32:
            row = 0
            for part in chunks(self.images):
                finite = part.isfinite().flatten(1).all(1)
                if not finite.all():
                    row += int(finite.logical_not().nonzero()[0])
                    raise SafsError(f"image {row} holds NaN or infinity; images that are floats must be finite.")
                row += len(part)


def _check_shapes(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or images.dtype not in (torch.float32, torch.uint8) or 0 in images.shape[1:]:
        raise SafsError(f"Images must be float32 or uint8 [n, c, h, w], but got {images.dtype} {[*images.shape]}.")
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise SafsError(f"Labels must be int64 [n], but got {labels.dtype} {list(labels.shape)}.")
    if len(images) != len(labels) or len(labels) == 0:
        raise SafsError(f"Every image needs one label, but got {len(images)} images and {len(labels)} labels.")
