"""How errors say that there was no memory left; PyTorch has a class of its own for that on GPUs only."""

from __future__ import annotations

_SAID = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""On a CPU, and where CUDA or its libraries find no memory."""


def out_of_memory(error: Exception) -> bool:
    """Return whether there was no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which may not be loaded
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
