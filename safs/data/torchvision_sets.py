"""torchvision's datasets by name, `torchvision/NAME`, from files that are there: nothing is ever downloaded.

Their own readers are used. Those of CIFAR unpickle, but only files with the published checksum. Where a class has no
test split, as ImageNet, whose test labels are secret, the validation split is the test split.
"""

from __future__ import annotations

import inspect
import re
import warnings
from pathlib import Path
from typing import Any

from safs.data.dataset import Data, Split
from safs.data.items import read_items
from safs.data.options import Options
from safs.data.roots import data_root
from spaces.errors import SafsError, brief, lookup

PREFIX = "torchvision/"
_OURS = ("root", "transform", "transforms", "target_transform", "download")
_TEST_FILES = {
    "CIFAR10": ("cifar-10-batches-py/test_batch",),
    "CIFAR100": ("cifar-100-python/test",),
    "EMNIST": ("EMNIST/raw/emnist-*-test-images-idx3-ubyte", "EMNIST/processed/test_*.pt"),
    "FER2013": ("fer2013/fer2013.csv", "fer2013/icml_face_data.csv"),  # test.csv has no labels
    "FashionMNIST": ("FashionMNIST/raw/t10k-images-idx3-ubyte", "FashionMNIST/processed/test.pt"),
    "ImageNet": ("val", "ILSVRC2012_img_val.tar"),
    "KMNIST": ("KMNIST/raw/t10k-images-idx3-ubyte", "KMNIST/processed/test.pt"),
    "MNIST": ("MNIST/raw/t10k-images-idx3-ubyte", "MNIST/processed/test.pt"),
    "QMNIST": ("QMNIST/raw/qmnist-test-images-idx3-ubyte", "QMNIST/processed/test*.pt"),
    "STL10": ("stl10_binary/test_X.bin",),
    "SVHN": ("test_32x32.mat",),
    "USPS": ("usps.t.bz2",),
}
"""Of each class whose constructor reads, or unpacks, all images: where, below the root, those of its test split lie."""


def look(name: str, split: str, root: Path | None, options: Options) -> None:
    """Look whether the split is there, and takes its arguments, without reading an image of the test split.

    Where torchvision's constructor would read them, only their file is looked for; elsewhere it is called.
    """
    files = _TEST_FILES.get(name.removeprefix(PREFIX), ())
    if split == "train" or not files:
        _make(name, split, root, options)
        return
    _arguments(name, _find(name), split, options)
    folder = data_root(root)
    if not any(path for pattern in files for path in folder.glob(pattern)):
        raise SafsError(f"Dataset {name!r} has no test split in {folder.absolute()}: there is no {' or '.join(files)}.")


def read(name: str, split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    """Return one split of the dataset `name`, `torchvision/NAME`; `data.kwargs` go to its constructor."""
    dataset = _make(name, split, root, options)
    return read_items(dataset, name, channels=train.shape[0] if train else None, size=options.image_size)


def _make(name: str, split: str, root: Path | None, options: Options) -> Any:
    kind = _find(name)
    arguments = _arguments(name, kind, split, options)
    folder = data_root(root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision calls NumPy in ways that NumPy 2 warns of
            return _construct(kind, str(folder), arguments)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # RuntimeError, ValueError, OSError and others, from 60 constructors
        text = re.sub(r"[. ]*You can (use|set) download=True.*", "", brief(error)).rstrip(".")
        raise SafsError(f"Dataset {name!r} has no {split} split in {folder.absolute()}: {text}.") from error


def _construct(kind: type, root: str, arguments: dict[str, Any]) -> Any:
    """Return the dataset; its split val stands for test where the class says that it has that one only."""
    try:
        return kind(root=root, **arguments)
    except ValueError as error:
        if arguments.get("split") != "test" or not re.search("argument split.*'val'", str(error)):
            raise
    return kind(root=root, **{**arguments, "split": "val"})


def _arguments(name: str, kind: type, split: str, options: Options) -> dict[str, Any]:
    """Return what the constructor gets but for the root; SafsError if `data.kwargs` has something of the study's."""
    chosen = _split_argument(name, kind, split)
    wrong = next((key for key in options.kwargs if key in (*_OURS, *chosen)), None)
    if wrong:
        raise SafsError(f"`data.kwargs.{wrong}` is set by the study itself; leave it out.")
    return {**chosen, **options.kwargs}


def _find(name: str) -> type:
    from torchvision import datasets

    known = {
        kind: cls
        for kind, cls in vars(datasets).items()
        if isinstance(cls, type) and "root" in inspect.signature(cls).parameters and not kind.endswith("Folder")
    }
    return lookup("torchvision dataset", name.removeprefix(PREFIX), known)


def _split_argument(name: str, kind: type, split: str) -> dict[str, Any]:
    """Return the argument that chooses a split, or raise SafsError with what the dataset has instead."""
    parameters = inspect.signature(kind).parameters
    if any("train" in inspect.signature(base).parameters for base in kind.__mro__[:-1]):  # EMNIST has MNIST's
        return {"train": split == "train"}
    if "split" in parameters:
        return {"split": split}
    offered = ", ".join(key for key in parameters if key not in _OURS) or "none"
    raise SafsError(
        f"Dataset {name!r} has no training and test split (its arguments: {offered}); "
        "use `imagefolder`, or a factory that splits it."
    )
