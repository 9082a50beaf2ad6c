"""A folder per split with a folder per class: root/train/<class>/**, and root/test or root/val."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from safs.data.dataset import Data, Split
from safs.data.options import Options, check_kwargs
from safs.data.pixels import decode, stack
from safs.data.roots import data_root
from spaces.errors import SafsError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_FOLDERS = {"train": ("train",), "test": ("test", "val")}


def look(split: str, root: Path | None, options: Options) -> None:
    """Look whether every class has images, without opening one."""
    _files(split, root, options)


def read(split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    """Return one split. Classes are those of root/train, in the order of their names, for the test split too."""
    files, classes = _files(split, root, options)
    labels = torch.tensor([label for _, label in files])
    channels = train.shape[0] if train else None
    images = stack(_images([path for path, _ in files]), len(files), channels=channels, size=options.image_size)
    return Split(images, labels, classes)


def _images(paths: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    for path in paths:
        yield str(path), decode(path, str(path))


def _files(split: str, root: Path | None, options: Options) -> tuple[list[tuple[Path, int]], int]:
    """Return the split's files with their labels, in the order of their paths, and the number of classes."""
    check_kwargs("imagefolder", options.kwargs, ())
    classes = [path.name for path in _subfolders(_folder("train", data_root(root)))]
    files = []
    for folder in _subfolders(_folder(split, data_root(root))):
        if folder.name not in classes:
            raise SafsError(f"The class {folder} has no training images; classes are the folders of train/.")
        images = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )
        if not images:
            raise SafsError(f"The class folder {folder} has no images ({', '.join(SUFFIXES)}); fill or remove it.")
        files += [(path, classes.index(folder.name)) for path in images]
    return files, len(classes)


def _folder(split: str, root: Path) -> Path:
    names = _FOLDERS[split]
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SafsError(f"There is no folder {' or '.join(names)} in {root.absolute()}; set `data.root`.")


def _subfolders(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise SafsError(f"{folder} must hold one folder of images for every class, but holds none.")
    return found
