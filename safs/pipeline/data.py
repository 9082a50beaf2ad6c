"""The data of a study: what its config says, read."""

from __future__ import annotations

import torch

from safs.config.schema import Config
from safs.data.augmentation import Augmentation
from safs.data.dataset import Data
from safs.data.options import Options
from safs.data.registry import check_files, load


def check_test(config: Config) -> None:
    """Look whether the test split is there before anything is trained, without reading an image of it."""
    check_files(config.data.name, "test", root=config.data.root, options=_options(config))


def load_train(config: Config, device: torch.device) -> Data:
    """Return the training split, held where `device` can train on it."""
    return load(config.data.name, "train", root=config.data.root, device=device, options=_options(config))


def load_test(config: Config, train: Data) -> Data:
    """Return the test split, with the classes and constants of the training split."""
    return load(
        config.data.name, "test", root=config.data.root, device=train.device, options=_options(config), train=train
    )


def _options(config: Config) -> Options:
    augment = config.data.augment
    return Options(
        kwargs=config.data.kwargs,
        image_size=config.data.image_size,
        trust_pickle=config.data.trust_pickle,
        augmentation=Augmentation(crop=augment.crop, flip=augment.flip) if augment else None,
        residence=config.data.resident,
    )
