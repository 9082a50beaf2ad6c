"""How pixels become what a network sees: x/255, minus a mean, over a standard deviation, per channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 2**24
"""Values that are converted at a time, so that a large set is never held as floats beside its pixels."""


@dataclass(frozen=True)
class Normalisation:
    """The constants of a training split, per channel, of pixels scaled to [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def on(self, device: torch.device | str) -> Callable[[Tensor], Tensor]:
        """Return the function from uint8 [n, c, h, w] to float32; the same bits on every device.

        It divides by tensors on the device: CUDA turns a division by a number into a multiplication.
        """
        full, mean, std = (
            torch.tensor(values, dtype=torch.float32).view(-1, 1, 1).to(device)
            for values in ((255.0,), self.mean, self.std)
        )
        return lambda pixels: pixels.to(torch.float32).div_(full).sub_(mean).div_(std)


def measure(pixels: Tensor) -> Normalisation:
    """Return mean and standard deviation of uint8 images [n, c, h, w] per channel, from exact integer sums.

    The deviation of a channel that is the same everywhere is taken as 1.
    """
    totals = torch.zeros(2, pixels.shape[1], dtype=torch.int64)
    for part in chunks(pixels):
        totals[0] += part.sum((0, 2, 3), dtype=torch.int64)
        totals[1] += part.to(torch.int32).square_().sum((0, 2, 3), dtype=torch.int64)
    count = pixels.numel() // pixels.shape[1]
    mean = [first / count for first in totals[0].tolist()]
    variance = [
        (count * second - first * first) / count**2 for first, second in zip(*totals.tolist(), strict=True)
    ]  # of whole numbers: nothing cancels
    return Normalisation(
        tuple(value / 255 for value in mean), tuple(math.sqrt(value) / 255 if value else 1.0 for value in variance)
    )


def normalised(images: Tensor, normalisation: Normalisation | None, device: torch.device | str) -> Tensor:
    """Return images [n, c, h, w] as float32 on a device; computed on the CPU, a part at a time."""
    if images.dtype == torch.float32:
        return images.to(device)
    result = torch.empty(images.shape, dtype=torch.float32, device=device)
    start = 0
    for part in as_floats(images, normalisation):
        result[start : start + len(part)] = part
        start += len(part)
    return result


def as_floats(images: Tensor, normalisation: Normalisation | None) -> Iterator[Tensor]:
    """Yield images [n, c, h, w] part by part, as float32 on the CPU, uint8 ones normalised."""
    for part in chunks(images):
        if part.dtype == torch.float32:
            yield part.cpu()
        else:
            assert normalisation is not None, "pixels come with the constants that normalise them"
            yield normalisation.on("cpu")(part.cpu())


def chunks(images: Tensor, become: int = 0) -> Iterator[Tensor]:
    """Yield images part by part, each of some 16 million values, or of images that become so many in all.

    Args:
        images: [n, c, h, w], at least one.
        become: the values that each of them becomes.
    """
    yield from images.split(max(1, _CHUNK // max(1, become, images[0].numel())))
