"""torchvision's datasets by name, `torchvision/NAME`, from files that are there: nothing is ever downloaded.

Their own readers are used. Those of CIFAR unpickle, but only files with the published checksum.
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
from safs.data.pixels import one_line
from safs.data.roots import data_root
from spaces.errors import SafsError, lookup

PREFIX = "torchvision/"
_OURS = ("root", "transform", "transforms", "target_transform", "download")


def look(name: str, split: str, root: Path | None, options: Options) -> None:
    """Let torchvision look whether the split is there, which opens its files; no image of it is taken."""
    _make(name, split, root, options)


def read(name: str, split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    """Return one split of the dataset `name`, `torchvision/NAME`; `data.kwargs` go to its constructor."""
    dataset = _make(name, split, root, options)
    return read_items(dataset, name, channels=train.shape[0] if train else None, size=options.image_size)


def _make(name: str, split: str, root: Path | None, options: Options) -> Any:
    kind = _find(name)
    chosen = _split_argument(name, kind, split)
    wrong = next((key for key in options.kwargs if key in (*_OURS, *chosen)), None)
    if wrong:
        raise SafsError(f"`data.kwargs.{wrong}` is set by the study itself; leave it out.")
    folder = data_root(root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision calls NumPy in ways that NumPy 2 warns of
            return kind(root=str(folder), **chosen, **options.kwargs)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # RuntimeError, ValueError, OSError and others, from 60 constructors
        text = re.sub(r"[. ]*You can (use|set) download=True.*", "", one_line(error)).rstrip(".")
        raise SafsError(f"Dataset {name!r} has no {split} split in {folder.absolute()}: {text}.") from error


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
