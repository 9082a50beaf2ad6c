"""MNIST in torchvision's layout, MNIST/raw/*-ubyte.

The IDX files are read here: torchvision's MNIST class wants the files of both splits present, and unpickles old ones.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from torch import Tensor

from safs.data.dataset import Data, from_pixels
from safs.data.roots import data_file
from spaces.errors import SafsError

MEAN, STD = 0.1307, 0.3081  # of the training split, in [0, 1]
FILES = {
    split: (f"MNIST/raw/{prefix}-images-idx3-ubyte", f"MNIST/raw/{prefix}-labels-idx1-ubyte")
    for split, prefix in (("train", "train"), ("test", "t10k"))
}


def load(split: str, root: Path | None) -> Data:
    """Return one split: [n, 1, 28, 28], 60,000 training or 10,000 test images."""
    images, targets = (data_file(root, name) for name in FILES[split])
    pixels, labels = read_idx(images, 3), read_idx(targets, 1)
    return from_pixels(pixels.unsqueeze(1), labels, 10, [MEAN], [STD])


def read_idx(path: Path, ndim: int) -> Tensor:
    """Return the uint8 array of an IDX file: magic 0, 0, 8, ndim; big-endian uint32 sizes; the bytes.

    Raises:
        SafsError: if the file is not such an array, or is shorter or longer than its header says.
    """
    raw = path.read_bytes()
    start = 4 + 4 * ndim
    shape = [int.from_bytes(raw[k : k + 4], "big") for k in range(4, start, 4)]
    if raw[:4] != bytes((0, 0, 8, ndim)) or not prod(shape) or len(raw) != start + prod(shape):
        raise SafsError(f"{path} is corrupt: {len(raw)} bytes are no IDX file of {ndim} dimensions; fetch it again.")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=start).view(shape)
