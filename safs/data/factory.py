"""The user's own data: `package.module:factory`, called with the split and `data.kwargs`.

It returns a pair of images and labels for a split, "train" or "test", or a map-style dataset (see `items`). Images
are uint8 pixels, which are normalised with constants of the training split, or float32, which are taken as they are.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safs.data.dataset import Data, Split
from safs.data.items import read_items
from safs.data.options import Options
from safs.data.pixels import one_line
from spaces.errors import SafsError


def look(name: str) -> None:
    """Look whether there is such a factory, without calling it."""
    _find(name)


def read(name: str, split: str, options: Options, train: Data | None) -> Split:
    """Return what a factory gives for one split.

    Raises:
        SafsError: if there is no such factory, it raises, or it returns something else.
    """
    factory = _find(name)
    try:
        found = factory(split, **options.kwargs)
    except Exception as error:  # whatever the user's code raises
        raise SafsError(
            f"Dataset {name!r} failed on the split {split!r}: {type(error).__name__}: {one_line(error)}"
        ) from error
    if isinstance(found, (tuple, list)) and len(found) == 2:
        return _from_pair(name, *found)
    if hasattr(found, "__getitem__") and hasattr(found, "__len__") and not isinstance(found, (str, dict, tuple, list)):
        return read_items(found, name, channels=train.shape[0] if train else None, size=options.image_size)
    raise SafsError(
        f"Dataset {name!r} must return a pair (images, labels) or a map-style dataset, but returned a "
        f"{type(found).__name__}."
    )


def _from_pair(name: str, images: Any, labels: Any) -> Split:
    pixels = _tensor(images)
    if pixels is None or pixels.ndim != 4 or pixels.dtype not in (torch.uint8, torch.float32):
        raise SafsError(
            f"Dataset {name!r} must return images [n, c, h, w], uint8 or float32, but returned {_what(images)}."
        )
    targets = _tensor(labels)
    if targets is None or targets.ndim != 1 or targets.is_floating_point() or targets.dtype == torch.bool:
        raise SafsError(f"Dataset {name!r} must return labels [n], integers, but returned {_what(labels)}.")
    return Split(pixels.detach().cpu(), targets.cpu().to(torch.int64))


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "uif":
        return torch.from_numpy(value)
    return torch.tensor(value) if isinstance(value, list) and all(type(item) is int for item in value) else None


def _what(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__


def _find(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    # Last, so that a file in the current directory cannot shadow an installed package.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever importing the user's module raises
        raise SafsError(
            f"Dataset {name!r}: cannot import {module_name!r}: {type(error).__name__}: {one_line(error)}"
        ) from error
    factory: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(factory):
        found = "is not callable" if factory is not None else "does not exist"
        raise SafsError(f"Dataset {name!r}: {attribute!r} {found} in {getattr(module, '__file__', module_name)}.")
    return factory
