"""scikit-learn's bundled handwritten digits: 1,797 real images, no download."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from safs.data.dataset import Data
from safs.data.normalisation import Normalisation
from safs.data.splits import holdout

TEST_FRACTION = 0.2
SPLIT_SEED = 20240501
MEAN, STD = 0.305116, 0.324484  # of the training split, resized


def load(split: str, _root: Path | None) -> Data:
    """Return one split: [n, 1, 28, 28], resized bilinearly from 8×8; 1,438 training and 359 test images."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    labels = torch.from_numpy(targets).to(torch.int64)
    chosen = holdout(labels, TEST_FRACTION, SPLIT_SEED)[split == "test"]
    images = torch.from_numpy(pixels).to(torch.float32).view(-1, 1, 8, 8)[chosen] / 16
    images = F.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    return Data(images.sub_(MEAN).div_(STD), labels[chosen], 10, Normalisation((MEAN,), (STD,)))
