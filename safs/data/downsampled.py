"""ImageNet at 16×16, 32×32 and 64×64 as published by Chrabaszcz et al. (2017), arXiv:1707.08819.

imagenet16/train_data_batch_1 to _10, and imagenet16/val_data, which is the test split: the paper of SAFS tests on it,
and ImageNet's own test labels are secret. Each is a pickled dict with `data`, uint8 [n, 3·S·S], channel by channel,
and `labels`, 1 to 1000. Its `mean` is not read: constants per channel are computed from the training split.

The files are pickles, so that `data.trust_pickle` must be set, though they are read as arrays only.
At its peak, reading takes the split's pixels (ImageNet-64: 15.7 GB, or what they are resized to) and two batches'
(3.2 GB).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from safs.data.dataset import Split
from safs.data.memory import check_room
from safs.data.options import Options, check_kwargs
from safs.data.pixels import resize
from safs.data.roots import data_file
from safs.data.unpickling import read_arrays
from spaces.errors import SafsError

SIZES = {"imagenet16": 16, "imagenet32": 32, "imagenet64": 64}
CLASSES = 1000
FILES = {"train": tuple(f"train_data_batch_{number}" for number in range(1, 11)), "test": ("val_data",)}


def look(name: str, split: str, root: Path | None, options: Options) -> None:
    """Look whether the split's files are there, and whether they may be opened."""
    _paths(name, split, root, options)


def read(name: str, split: str, root: Path | None, options: Options) -> Split:
    """Return one split of the dataset `name`, a key of `SIZES`: uint8 [n, 3, S, S], S that of `options` if it has one.

    Raises:
        SafsError: if a file is missing, is no batch of such images, or they do not fit into the host's memory.
    """
    paths, published = _paths(name, split, root, options), SIZES[name]
    size, width = options.image_size or published, 3 * published * published
    sizes = [path.stat().st_size for path in paths]
    # No row takes fewer bytes in a file than its pixels, so there is room for all; what is not filled is not used.
    shape = (sum(sizes) // width, 3, size, size)
    check_room(shape, 1, beside=2 * max(sizes))
    images = torch.empty(shape, dtype=torch.uint8)
    labels = []
    start = 0
    for path in paths:
        pixels, targets = _batch(path, read_arrays(path), width)
        end = start + len(pixels)
        if end > len(images):
            raise SafsError(f"{path} claims {len(pixels)} images, more than its bytes can hold; fetch it again.")
        images[start:end] = resize(torch.tensor(pixels).view(-1, 3, published, published), size)
        labels.append(torch.from_numpy(targets))
        start = end
        del pixels  # before the next batch is read
    return Split(images[:start], torch.cat(labels), CLASSES)


def _paths(name: str, split: str, root: Path | None, options: Options) -> list[Path]:
    check_kwargs(name, options.kwargs, ())
    paths = [data_file(root, f"{name}/{file}") for file in FILES[split]]
    if not options.trust_pickle:
        raise SafsError(
            f"Dataset {name!r} consists of pickles ({paths[0]}, ...): set `data.trust_pickle: true` if you trust them; "
            "even then they are read as arrays only, and any code in them is refused."
        )
    return paths


def _batch(path: Path, found: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, uint8 [n, width], and labels from 0, int64 [n], of one file."""
    if not isinstance(found, dict) or not {"data", "labels"} <= set(found):
        what = (
            f"has {', '.join(map(str, list(found)[:5]))}" if isinstance(found, dict) else f"is a {type(found).__name__}"
        )
        raise SafsError(f"{path} must be a dict with 'data' and 'labels', but {what}.")
    pixels = found["data"]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (width,):
        what = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise SafsError(f"'data' in {path} must be uint8 [n, {width}], but is {what}.")
    try:
        labels = np.asarray(found["labels"])
    except ValueError:  # lists of different lengths
        labels = np.asarray([])
    if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
        raise SafsError(
            f"'labels' in {path} must be {len(pixels)} integers, but are {labels.dtype} {list(labels.shape)}."
        )
    if not len(labels) or labels.min() < 1 or labels.max() > CLASSES:
        span = f"span {labels.min()} to {labels.max()}" if len(labels) else "are none"
        raise SafsError(f"'labels' in {path} must lie in [1, {CLASSES}], but {span}.")
    return pixels, labels.astype(np.int64) - 1
