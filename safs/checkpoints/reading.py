"""Reading a file: opened once, hashed and loaded from the same handle, with nothing mapped into memory."""

from __future__ import annotations

import argparse
import codecs
import hashlib
import os
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from safs.checkpoints.archive import MAGIC, check_archive
from safs.checkpoints.calls import NUMPY_KINDS
from safs.checkpoints.claims import check_claims, check_old_claims
from safs.checkpoints.source import Source
from spaces.errors import SafsError, brief

LARGEST_HEADER = 100_000_000
"""Bytes that the header of a safetensors file may have, by the format's definition."""


@dataclass(frozen=True)
class Content:
    """What a file holds, as it was saved, and the SHA-256 of the file in hexadecimal."""

    value: Any
    sha256: str


def read_file(source: Source, *, trust_pickle: bool = False) -> Content:
    """Return the content of a `.safetensors` file, or of one that `torch.save` wrote.

    Args:
        source: the file.
        trust_pickle: also run code that it contains; only for files from people you trust.

    Raises:
        SafsError: if the file is missing, empty, damaged, holds code, or claims more than it holds.
    """
    path = source.path
    try:
        if not path.is_file():
            raise SafsError(
                f"{path} is a folder, not a file." if path.is_dir() else f"There is no {source.kind} at {path}."
            )
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise SafsError(f"{source} is empty.")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            safe = path.suffix == ".safetensors"
            value = _read_safetensors(file, size, source) if safe else _read_torch(file, size, source, trust_pickle)
    except OSError as error:
        raise SafsError(f"{source} cannot be read: {error.strerror or error}.") from error
    return Content(value, digest)


def _read_safetensors(file: BinaryIO, size: int, source: Source) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    start = file.read(8)
    header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= header <= min(size - 8, LARGEST_HEADER):
        raise SafsError(f"{source} is damaged or no safetensors file: its header does not fit into it.")
    try:
        return dict(sorted(load(start + file.read()).items()))  # their order is the library's, by chance
    except SafetensorError as error:
        raise SafsError(f"{source} is damaged or no safetensors file: {brief(error)}.") from error
    except (KeyError, AssertionError, ValueError, RuntimeError, TypeError) as error:
        raise SafsError(f"{source} holds tensors of a type that PyTorch does not have: {brief(error)}.") from error


def _read_torch(file: BinaryIO, size: int, source: Source, trust_pickle: bool) -> Any:
    if file.read(len(MAGIC)) == MAGIC:
        archive = check_archive(file, size, source)
        if not trust_pickle:
            check_claims(file, archive, source)
    elif not trust_pickle:
        file.seek(0)
        check_old_claims(file, size, source)
    file.seek(0)
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(file, map_location="cpu", weights_only=not trust_pickle, mmap=False)
    except Exception as error:  # damaged files raise anything, and so does code that is run at the user's wish
        raise source.damaged(brief(error) if trust_pickle else "") from error


def _harmless() -> list[Any]:
    """Return what checkpoints often hold beside tensors, and what does nothing but hold values."""
    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    kinds = [type(np.dtype(kind)) for kind in NUMPY_KINDS]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, np.dtype, *kinds, *names, (codecs.encode, "_codecs.encode")]
