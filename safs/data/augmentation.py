"""Random crops and flips of a batch, on the device: one gather, no loop over images, no wait for the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spaces.errors import SafsError


@dataclass(frozen=True)
class Augmentation:
    """What training images go through (He et al. 2016, 4.2: `crop=4, flip=True`).

    Attributes:
        crop: pixels of padding on every side, of which a window of the image's own size is cut at random. The padding
            is black, pixel value 0, *before* normalisation; for images that came as floats it is 0.0.
        flip: whether half of the images are mirrored left to right.
    """

    crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise SafsError(f"The padding of a random crop must be 0 or more pixels, but got {self.crop}.")

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return how `n` images are seen, int64 [n, 3]: rows down, columns to the right, and 1 where mirrored.

        Drawn on the CPU whatever the device, as the order of the examples is: every device sees the same views.
        """
        moves = torch.randint(-self.crop, self.crop + 1, (n, 2), generator=generator)
        mirrored = torch.randint(2, (n, 1), generator=generator) * self.flip
        return torch.cat([moves, mirrored], dim=1)


def crop_and_flip(images: Tensor, views: Tensor, black: Tensor) -> Tensor:
    """Return images [n, c, h, w] as `views` [n, 3] (see `Augmentation.draw`) sees them.

    Args:
        images: of any type, on any device.
        views: on the same device.
        black: the value outside of the image, [c, 1, 1] or [], of the same type.
    """
    n, c, h, w = images.shape
    down, right, mirrored = views.unsqueeze(2).unbind(1)
    rows = torch.arange(h, device=images.device) + down
    across = torch.arange(w, device=images.device)
    columns = torch.where(mirrored.bool(), w - 1 - across, across) + right
    places = rows.clamp(0, h - 1).unsqueeze(2) * w + columns.clamp(0, w - 1).unsqueeze(1)
    seen = images.flatten(2).gather(2, places.view(n, 1, h * w).expand(n, c, h * w)).view(n, c, h, w)
    inside = ((rows >= 0) & (rows < h)).unsqueeze(2) & ((columns >= 0) & (columns < w)).unsqueeze(1)
    return torch.where(inside.unsqueeze(1), seen, black)
