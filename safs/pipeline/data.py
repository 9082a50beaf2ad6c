"""The data that a config names, read."""

from __future__ import annotations

import torch

from safs.config.schema import DataConfig
from safs.data.augmentation import Augmentation
from safs.data.dataset import Data
from safs.data.options import Options
from safs.data.registry import check_files, load


def check_test(data: DataConfig) -> None:
    """Look whether the test split is there before anything is trained, without reading an image of it."""
    check_files(data.name, "test", root=data.root, options=_options(data))


def load_train(data: DataConfig, device: torch.device) -> Data:
    """Return the training split, held where `device` can train on it."""
    return load(data.name, "train", root=data.root, device=device, options=_options(data))


def load_test(data: DataConfig, train: Data) -> Data:
    """Return the test split, with the classes and constants of the training split."""
    return load(data.name, "test", root=data.root, device=train.device, options=_options(data), train=train)


def _options(data: DataConfig) -> Options:
    augment = data.augment
    return Options(
        kwargs=data.kwargs,
        image_size=data.image_size,
        trust_pickle=data.trust_pickle,
        augmentation=Augmentation(crop=augment.crop, flip=augment.flip) if augment else None,
        residence=data.resident,
    )
