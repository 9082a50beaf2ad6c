"""The table of datasets. A split is read alone: loading the test split touches no training file, and the reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from safs.data import cifar10, digits, mnist
from safs.data.dataset import Data
from safs.data.roots import data_file
from spaces.errors import SafsError, UnknownNameError, lookup

DATASETS: dict[str, Callable[[str, Path | None], Data]] = {
    "digits": digits.load,
    "mnist": mnist.load,
    "cifar10": cifar10.load,
}
SPLITS = ("train", "test")


_FILES: dict[str, Mapping[str, Sequence[str]]] = {"mnist": mnist.FILES, "cifar10": cifar10.FILES}


def check_files(name: str, split: str, *, root: Path | None) -> None:
    """Look whether the files of a split are there, without opening them.

    Raises:
        SafsError: if one is missing, naming it.
    """
    for relative in _FILES.get(name, {}).get(split, ()):
        data_file(root, relative)


def load(name: str, split: str, *, root: Path | None, device: torch.device | str) -> Data:
    """Return one split of the dataset `name` on `device`.

    Args:
        name: A key of `DATASETS`.
        split: "train" or "test".
        root: The data folder; None means what `data_root` finds.
        device: Where the tensors go; they are computed on the CPU, so that every device sees the same bits.

    Raises:
        SafsError: if a name is unknown, or the files are missing or corrupt, or a package that reads them is.
    """
    read = lookup("dataset", name, DATASETS)
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    try:
        return read(split, root).to(device)
    except ModuleNotFoundError as error:
        raise SafsError(f"Dataset {name!r} needs the package {error.name!r}; install it.") from error
    except OSError as error:
        raise SafsError(f"Dataset {name!r} cannot be read: {error}") from error
