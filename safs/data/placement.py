"""Where a split is held: as floats on the device where they fit, else as pixels there, else in the host's memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from safs.data.dataset import Data
from safs.data.memory import free_host_memory
from safs.data.normalisation import normalised
from spaces.errors import SafsError

Residence = Literal["auto", "device", "host"]

SHARE = 0.5
"""Of a device's free memory, what a split's images may take; the rest is for networks, activations and optimisers."""


def place(data: Data, device: torch.device, residence: Residence, share: float = 1.0) -> Data:
    """Return a split, read on the CPU, where its trainings will look for it. No choice changes a bit of what they see.

    Args:
        data: on the CPU.
        device: that trains.
        residence: as of `choose`.
        share: of the device's memory, what this process may take, in (0, 1].

    Raises:
        SafsError: if the images are to be held on the device, but do not fit.
    """
    chosen = choose(data.images, device, residence, free_memory(device, share))
    labels = data.labels.to(device)
    if chosen == "streamed":
        return replace(data, labels=labels, streamed=True)
    try:
        floats = chosen == "floats"
        images = normalised(data.images, data.normalisation, device) if floats else data.images.to(device)
    except torch.OutOfMemoryError as error:
        raise SafsError(
            f"The images take {data.images.nbytes / 1e9:.1f} GB, more than {device} has free; "
            "set `data.resident` to auto or host."
        ) from error
    return replace(data, images=images, labels=labels)


def choose(
    images: Tensor, device: torch.device, residence: Residence, free: int
) -> Literal["floats", "as they are", "streamed"]:
    """Return how images are held for trainings on a device that has `free` bytes of memory left.

    As floats on the device if they take at most `SHARE` of that, else as they were read on the device if those do
    (pixels take a quarter), else on the host, streamed. "device" never streams, "host" always does. On a CPU both
    memories are one: what was read is there already, and has nowhere to be streamed to.
    """
    room = SHARE * free
    if residence == "host" or (residence == "auto" and device.type != "cpu" and images.nbytes > room):
        return "streamed"
    return "floats" if 4 * images.numel() <= room else "as they are"


def free_memory(device: torch.device, share: float = 1.0) -> int:
    """Return the bytes that can still be allocated on a device, of which this process may take a share."""
    if device.type != "cuda":
        return free_host_memory()
    free, total = torch.cuda.mem_get_info(device)
    return min(free, int(share * total))
