import pytest
import torch

from safs.data.augmentation import Augmentation
from safs.data.dataset import Data, from_pixels
from safs.data.feed import first
from safs.data.normalisation import Normalisation, normalised
from spaces.errors import SafsError


def images(n=3):
    return torch.arange(n * 4.0).reshape(n, 1, 2, 2)


def test_a_split_knows_its_size_and_content():
    data = Data(images(), torch.tensor([0, 1, 1]), 2)
    assert len(data) == 3
    same = Data(images().clone(), torch.tensor([0, 1, 1]), 2)
    assert data.fingerprint() == same.fingerprint()
    assert len(data.fingerprint()) == 16
    assert int(data.fingerprint(), 16) >= 0


def test_the_fingerprint_sees_every_part():
    labels = torch.tensor([0, 1, 1])
    changed = images()
    changed[2, 0, 1, 1] += 1
    parts = [
        Data(images(), labels, 2),
        Data(changed, labels, 2),
        Data(images(), torch.tensor([0, 1, 0]), 2),
        Data(images(), labels, 3),
        Data(images().reshape(3, 4, 1, 1), labels, 2),
        Data(images(), labels, 2, augmentation=Augmentation(crop=1)),
        Data(images(), labels, 2, augmentation=Augmentation(flip=True)),
    ]
    assert len({part.fingerprint() for part in parts}) == len(parts)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (images().double(), torch.tensor([0, 1, 1]), "float32"),
        (images().to(torch.uint8), torch.tensor([0, 1, 1]), "need a normalisation"),
        (images()[0], torch.tensor([0]), r"\[1, 2, 2\]"),
        (images(), torch.tensor([0, 1]), "3 images and 2 labels"),
        (images()[:0], torch.tensor([0])[:0], "0 images and 0 labels"),
        (images()[:, :, :0], torch.tensor([0, 1, 1]), r"\[n, c, h, w\], but got torch.float32 \[3, 1, 0, 2\]"),
        (images(), torch.tensor([0, 1, 1], dtype=torch.int32), "int64"),
        (images(), torch.tensor([[0, 1, 1]]), r"\[1, 3\]"),
        (images(), torch.tensor([0, 1, 2]), r"\[0, 2\), but span 0 to 2"),
        (images(), torch.tensor([0, 1, -1]), "span -1 to 1"),
        (images().to("meta"), torch.tensor([0, 1, 1]), "meta and cpu"),
    ],
)
def test_what_is_no_labelled_image_set_is_refused(pixels, labels, message):
    with pytest.raises(SafsError, match=message):
        Data(pixels, labels, 2)


def test_pixels_are_normalised_per_channel():
    pixels = torch.tensor([0, 255, 51, 102], dtype=torch.uint8).view(1, 2, 1, 2)
    data = from_pixels(pixels, torch.tensor([1], dtype=torch.uint8), 2, (0.5, 0.2), (0.5, 0.1))
    assert first(data, 5).flatten().tolist() == pytest.approx([-1.0, 1.0, 0.0, 2.0], abs=1e-6)
    assert data.labels.tolist() == [1]


def test_the_fingerprint_is_that_of_what_the_network_sees_however_it_is_held(monkeypatch):
    pixels = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, constants = torch.arange(9) % 2, Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    held = Data(pixels, labels, 2, constants)
    ready = Data(normalised(pixels, constants, "cpu"), labels, 2)
    assert held.fingerprint() == ready.fingerprint()
    monkeypatch.setattr("safs.data.normalisation._CHUNK", 100)
    assert held.fingerprint() == ready.fingerprint()
    assert (
        Data(pixels, labels, 2, Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.31))).fingerprint() != held.fingerprint()
    )
