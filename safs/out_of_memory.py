"""How errors say that there was no memory left; PyTorch has a class of its own for that on GPUs only."""

from __future__ import annotations

_OF_DEVICE = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What CUDA and its libraries say that find no memory."""


def out_of_memory(error: Exception) -> bool:
    """Return whether there was no memory left, on the host or on a device."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not be loaded
        return True
    of_device = isinstance(error, RuntimeError) and any(said in str(error) for said in _OF_DEVICE)
    return of_device or host_out_of_memory(error)


def host_out_of_memory(error: Exception) -> bool:
    """Return whether the host had no memory left."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
