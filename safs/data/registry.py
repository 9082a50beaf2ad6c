"""The table of datasets. A split is read alone: loading the test split opens no training images, and the reverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from safs.data import cifar10, digits, downsampled, factory, imagefolder, mnist, parquet, torchvision_sets
from safs.data.dataset import Data, Split
from safs.data.memory import no_memory
from safs.data.normalisation import measure
from safs.data.options import Options, check_kwargs
from safs.data.pixels import resize
from safs.data.placement import place
from safs.data.roots import data_file
from spaces.errors import SafsError, UnknownNameError

DATASETS: dict[str, Callable[[str, Path | None], Data]] = {
    "digits": digits.load,
    "mnist": mnist.load,
    "cifar10": cifar10.load,
}
"""Sets that need to be told nothing but where they lie."""
SPLITS = ("train", "test")

_FILES: dict[str, Mapping[str, Sequence[str]]] = {"mnist": mnist.FILES, "cifar10": cifar10.FILES}
_FORMATS: dict[str, tuple[Callable[..., None], Callable[..., Split]]] = {
    "imagefolder": (imagefolder.look, imagefolder.read),
    "parquet": (parquet.look, parquet.read),
}
_ROOTLESS = ("digits",)
_DEFAULT = Options()


def check_name(name: str) -> None:
    """Raise UnknownNameError if there is no dataset of that name, as far as can be told without importing anything."""
    known = [*DATASETS, *downsampled.SIZES, *_FORMATS]
    if name not in known and not name.startswith(torchvision_sets.PREFIX) and ":" not in name:
        raise UnknownNameError("dataset", name, [*known, "torchvision/NAME", "package.module:factory"])


def check_files(name: str, split: str, *, root: Path | None, options: Options = _DEFAULT) -> None:
    """Look whether the files of a split are there, without reading an image. What a factory reads is not known.

    Raises:
        SafsError: if one is missing, naming it, there is no such dataset, or something is set that it does not read.
    """
    check_name(name)
    _check_read(name, root, options)
    with _reading(name):
        _look(name, split, root, options)


def load(
    name: str,
    split: str,
    *,
    root: Path | None,
    device: torch.device | str,
    options: Options = _DEFAULT,
    train: Data | None = None,
) -> Data:
    """Return one split of a dataset, held where `device` can train on it.

    Args:
        name: a key of `DATASETS`, imagenet16, imagenet32, imagenet64, imagefolder, parquet, `torchvision/NAME` or
            `package.module:factory`.
        split: "train" or "test".
        root: the data folder; None means what `data_root` finds.
        device: that trains.
        options: how the set is read and held; the augmentation is for the training split alone.
        train: for the test split, the training split: its classes, channels and normalisation are the test's. Only
            the sets in `DATASETS` know their own.

    Raises:
        SafsError: if a name is unknown, the files are missing or corrupt, a package that reads them is missing, the
            two splits do not fit each other or the memory, or something is set that the dataset does not read.
    """
    check_name(name)
    _check_read(name, root, options)
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    with _reading(name):
        data = _named(name, split, root, options) if name in DATASETS else _read(name, split, root, options, train)
    if train is not None and (data.shape, data.classes) != (train.shape, train.classes):
        raise SafsError(
            f"Dataset {name!r} has test images {list(data.shape)} but training images {list(train.shape)}; "
            "set `data.image_size` to resize all."
        )
    if split == "train" and options.augmentation is not None:
        data = replace(data, augmentation=options.augmentation)
    with _reading(name):
        return place(data, torch.device(device), options.residence)


def _check_read(name: str, root: Path | None, options: Options) -> None:
    """Refuse what nothing would read. Of `root`, a factory is asked itself; `kwargs` are checked by their readers."""
    if root is not None and name in _ROOTLESS:
        raise SafsError(f"Nothing reads `data.root`: {name!r} lies in no folder; leave it out.")
    if options.trust_pickle and name not in downsampled.SIZES:
        pickles = ", ".join(downsampled.SIZES)
        raise SafsError(f"Nothing reads `data.trust_pickle`: {name!r} is none of {pickles}; leave it out.")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what a missing package, a failing disk or a lack of memory raises into one clear line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SafsError(f"Dataset {name!r} needs the package {error.name!r}; install it.") from error
    except OSError as error:
        raise SafsError(f"Dataset {name!r} cannot be read: {error}") from error
    except (MemoryError, RuntimeError) as error:
        named = no_memory(error)
        if named is None:
            raise
        raise named from error


def _look(name: str, split: str, root: Path | None, options: Options) -> None:
    if name in DATASETS:
        for relative in _FILES.get(name, {}).get(split, ()):
            data_file(root, relative)
    elif name in downsampled.SIZES:
        downsampled.look(name, split, root, options)
    elif name in _FORMATS:
        _FORMATS[name][0](split, root, options)
    elif name.startswith(torchvision_sets.PREFIX):
        torchvision_sets.look(name, split, root, options)
    else:
        factory.look(name, root, options)


def _named(name: str, split: str, root: Path | None, options: Options) -> Data:
    check_kwargs(name, options.kwargs, ())
    data = DATASETS[name](split, root)
    return data if options.image_size is None else replace(data, images=resize(data.images, options.image_size))


def _read(name: str, split: str, root: Path | None, options: Options, train: Data | None) -> Data:
    """Return a split whose classes and constants only its training split can tell."""
    if split == "test" and train is None:
        raise SafsError(f"The test split of {name!r} needs `train`, the training split, for its classes and constants.")
    found = _find_split(name, split, root, options, train)
    try:
        found.check()
        images = found.images if options.image_size is None else resize(found.images, options.image_size)
        if train is None:
            classes = found.classes or int(found.labels.max()) + 1
            return Data(images, found.labels, classes, measure(images) if images.dtype == torch.uint8 else None)
        if (train.normalisation is None) != (images.dtype == torch.float32):
            raise SafsError("Both splits must be uint8 pixels, or both float32.")
        return Data(images, found.labels, train.classes, train.normalisation)
    except SafsError as error:
        raise SafsError(f"Dataset {name!r}, split {split}: {error}") from None


def _find_split(name: str, split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    if name in downsampled.SIZES:
        return downsampled.read(name, split, root, options)
    if name in _FORMATS:
        return _FORMATS[name][1](split, root, options, train)
    if name.startswith(torchvision_sets.PREFIX):
        return torchvision_sets.read(name, split, root, options, train)
    return factory.read(name, split, root, options, train)
