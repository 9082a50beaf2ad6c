"""The user's own data: `package.module:factory`, called with the split, `data.kwargs` and, if it is set, `data.root`.

It returns a pair of images and labels for a split, "train" or "test", or a map-style dataset (see `items`). Images
are uint8 pixels, which are normalised with constants of the training split, or float32, which are taken as they are.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safs.data.dataset import Data, Split
from safs.data.items import read_items
from safs.data.memory import check_room
from safs.data.options import Options
from safs.data.roots import data_root
from safs.factories import find_factory, users_code
from spaces.errors import SafsError


def look(name: str, root: Path | None, options: Options) -> None:
    """Look whether there is such a factory, and whether it takes the data root, without calling it."""
    _arguments(name, find_factory("Dataset", name), root, options)


def read(name: str, split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    """Return what a factory gives for one split.

    Raises:
        SafsError: if there is no such factory, it raises, or it returns something else.
    """
    factory = find_factory("Dataset", name)
    arguments = _arguments(name, factory, root, options)
    with users_code(f"Dataset {name!r} failed on the split {split!r}"):
        found = factory(split, **arguments)
    if isinstance(found, (tuple, list)) and len(found) == 2:
        return _from_pair(name, *found)
    kind = type(found)
    if hasattr(kind, "__getitem__") and hasattr(kind, "__len__") and not isinstance(found, (str, dict, tuple, list)):
        return read_items(found, name, channels=train.shape[0] if train else None, size=options.image_size)
    raise SafsError(
        f"Dataset {name!r} must return a pair (images, labels) or a map-style dataset, but returned a {kind.__name__}."
    )


def _arguments(name: str, factory: Callable[..., Any], root: Path | None, options: Options) -> dict[str, Any]:
    """Return the arguments of a factory: `data.kwargs`, and as `root` the folder `data.root`, a Path, if it is set."""
    if root is None:
        return dict(options.kwargs)
    if "root" in options.kwargs:
        raise SafsError("`data.root` and `data.kwargs.root` are the same argument of the factory; give one of them.")
    if not _takes_root(factory):
        raise SafsError(f"Nothing reads `data.root`: {name!r} has no argument `root`; leave it out.")
    return {**options.kwargs, "root": data_root(root)}


def _takes_root(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # compiled code that does not tell: it will raise itself
        return True
    return "root" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _from_pair(name: str, images: Any, labels: Any) -> Split:
    if _kind(images) not in ("uint8", "float32") or images.ndim != 4:
        raise SafsError(
            f"Dataset {name!r} must return images [n, c, h, w], uint8 or float32, but returned {_what(images)}."
        )
    listed = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not listed and (not _kind(labels).startswith(("int", "uint")) or labels.ndim != 1):
        raise SafsError(f"Dataset {name!r} must return labels [n], integers, but returned {_what(labels)}.")
    if _is_copied(images):
        check_room(images.shape, images.dtype.itemsize)
    with users_code(f"Dataset {name!r}: its images and labels cannot be taken as tensors"):
        targets = torch.tensor(labels, dtype=torch.int64) if listed else _tensor(labels).to(torch.int64)
        return Split(_tensor(images), targets)


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    """Return a contiguous tensor on the CPU, in this machine's byte order: a copy only where the value is not so."""
    if isinstance(value, np.ndarray):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a read-only array must not be written to, and is not
            value = torch.from_numpy(np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C"))
    return value.detach().cpu().contiguous()


def _is_copied(value: Tensor | np.ndarray) -> bool:
    if isinstance(value, np.ndarray):
        return not (value.flags.c_contiguous and value.dtype.isnative)
    return value.device.type != "cpu" or not value.is_contiguous()


def _kind(value: Any) -> str:
    """Return the name of an array's or dense tensor's type, such as int64, or "" for anything else."""
    if isinstance(value, np.ndarray):
        return str(value.dtype.name)
    is_dense = isinstance(value, Tensor) and value.layout is torch.strided
    return str(value.dtype).removeprefix("torch.") if is_dense else ""


def _what(value: Any) -> str:
    if isinstance(value, Tensor) and value.layout is not torch.strided:
        return f"a tensor that is {value.layout}".replace("torch.", "")
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__
