"""The device that trains."""

from __future__ import annotations

import torch

from spaces.errors import SafsError


def pick_device(name: str) -> torch.device:
    """Return the device of this machine that "auto", "cpu" or "cuda" stands for.

    Raises:
        SafsError: if it is a GPU and there is none.
    """
    if name == "cpu":  # not to look for a GPU takes no time, and no address space
        return torch.device("cpu")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SafsError("`resources.device: cuda` needs a GPU, and PyTorch finds none; use auto or cpu.")
    return torch.device("cuda" if available else "cpu")


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
