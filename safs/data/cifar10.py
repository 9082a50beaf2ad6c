"""CIFAR-10 as Parquet in the Hugging Face layout, cifar10/plain_text/{train,test}-00000-of-00001.parquet."""

from __future__ import annotations

from pathlib import Path

from safs.data.dataset import Data, from_pixels
from safs.data.parquet import read_images
from safs.data.roots import data_file
from spaces.errors import SafsError

MEAN = (0.4914, 0.4822, 0.4465)  # of the training split, in [0, 1]
STD = (0.2470, 0.2435, 0.2616)
FILES = {split: (f"cifar10/plain_text/{split}-00000-of-00001.parquet",) for split in ("train", "test")}


def load(split: str, root: Path | None) -> Data:
    """Return one split: [n, 3, 32, 32], 50,000 training or 10,000 test images."""
    (path,) = (data_file(root, name) for name in FILES[split])
    found = read_images([path], channels=3)
    if found.images.shape[2:] != (32, 32):
        raise SafsError(f"The images in {path} must be 32×32, but are {'×'.join(map(str, found.images.shape[2:]))}.")
    return from_pixels(found.images, found.labels, 10, MEAN, STD)
