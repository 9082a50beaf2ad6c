"""The data that a config names, read."""

from __future__ import annotations

import torch

from safs.config.schema import DataConfig
from safs.data.augmentation import Augmentation
from safs.data.dataset import Data
from safs.data.options import Options
from safs.data.registry import check_files, load


def check_test(config: DataConfig) -> None:
    """Look whether the test split is there before anything is trained, without reading an image of it."""
    check_files(config.name, "test", root=config.root, options=_options(config))


def load_train(config: DataConfig, device: torch.device) -> Data:
    """Return the training split, held where `device` can train on it."""
    return load(config.name, "train", root=config.root, device=device, options=_options(config))


def load_test(config: DataConfig, train: Data) -> Data:
    """Return the test split, with the classes and constants of the training split."""
    return load(config.name, "test", root=config.root, device=train.device, options=_options(config), train=train)


def _options(config: DataConfig) -> Options:
    augment = config.augment
    return Options(
        kwargs=config.kwargs,
        image_size=config.image_size,
        trust_pickle=config.trust_pickle,
        augmentation=Augmentation(crop=augment.crop, flip=augment.flip) if augment else None,
        residence=config.resident,
    )
