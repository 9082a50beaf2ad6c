"""How much memory a trial took at most."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_RESET = "5"
"""Tells Linux to start the record of a process's largest size anew."""


class PeakMemory:
    """Measures the most memory in use since it was made: what tensors took of a GPU, or the size of this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _write(Path("/proc/self/clear_refs"), _RESET)

    def bytes(self) -> int | None:
        """Return it in bytes, or None where the system does not say."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        except OSError:
            return None
        return int(found[1]) * 1024 if found else None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return  # not Linux, or not allowed: then it is the most since the process began
