import hashlib

import pytest
import torch
from sklearn.datasets import load_digits

from safs.data import digits
from safs.data.registry import load
from safs.data.splits import holdout


def split(name):
    return load("digits", name, root=None, device="cpu")


def test_the_splits_have_every_digit_in_proportion():
    train, test = split("train"), split("test")
    assert train.images.shape == (1438, 1, 28, 28)
    assert test.images.shape == (359, 1, 28, 28)
    whole = torch.bincount(torch.from_numpy(load_digits().target))
    assert (torch.bincount(test.labels) - 0.2 * whole).abs().max() < 1
    assert torch.equal(torch.bincount(train.labels) + torch.bincount(test.labels), whole)


def test_the_constants_are_those_of_the_training_split():
    images = split("train").images.double() * digits.STD + digits.MEAN
    assert images.mean().item() == pytest.approx(digits.MEAN, abs=1e-6)
    assert images.std().item() == pytest.approx(digits.STD, abs=1e-6)
    assert images.min().item() >= -1e-6
    assert images.max().item() <= 1 + 1e-6


def test_the_split_is_frozen():
    labels = torch.from_numpy(load_digits().target)
    _, test = holdout(labels, digits.TEST_FRACTION, digits.SPLIT_SEED)
    assert hashlib.sha256(test.numpy().tobytes()).hexdigest()[:16] == "39a73dd9a6cbf26d"


def test_images_of_the_two_splits_do_not_mix():
    train = {image.numpy().tobytes() for image in split("train").images}
    assert not any(image.numpy().tobytes() in train for image in split("test").images)
    assert split("test").fingerprint() == split("test").fingerprint() != split("train").fingerprint()
