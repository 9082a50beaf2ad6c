import pytest
import torch

from safs.data.mnist import read_idx
from safs.data.registry import load
from spaces.errors import SafsError


def write_idx(path, array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + sizes + array.numpy().tobytes())


@pytest.fixture
def only_test_split(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_idx(raw / "t10k-images-idx3-ubyte", torch.arange(2 * 28 * 28).to(torch.uint8).view(2, 28, 28))
    write_idx(raw / "t10k-labels-idx1-ubyte", torch.tensor([3, 9], dtype=torch.uint8))
    return tmp_path


def test_the_real_training_split(real_root):
    data = load("mnist", "train", root=real_root, device="cpu")
    assert data.images.shape == (60000, 1, 28, 28)
    assert data.images.mean().item() == pytest.approx(0, abs=1e-3)
    assert data.images.std().item() == pytest.approx(1, abs=1e-3)
    assert data.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.fingerprint() == "4e5558a82ab81569", "studies that were begun earlier must be able to go on"


def test_the_real_test_split(real_root):
    data = load("mnist", "test", root=real_root, device="cpu")
    assert data.images.shape == (10000, 1, 28, 28)
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_test_split_needs_no_training_files(only_test_split):
    data = load("mnist", "test", root=only_test_split, device="cpu")
    assert data.labels.tolist() == [3, 9]
    assert data.images[0, 0, 0, 1].item() == pytest.approx((1 / 255 - 0.1307) / 0.3081)
    with pytest.raises(SafsError, match=r"There is no file .*train-images-idx3-ubyte; set `data.root`"):
        load("mnist", "train", root=only_test_split, device="cpu")


def test_images_and_labels_of_different_length_are_refused(only_test_split):
    write_idx(only_test_split / "MNIST/raw/t10k-labels-idx1-ubyte", torch.tensor([3], dtype=torch.uint8))
    with pytest.raises(SafsError, match="2 images and 1 labels"):
        load("mnist", "test", root=only_test_split, device="cpu")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\x08\x01",
        b"\0\0\x08\x01\0\0\0\0",
        b"\0\0\x08\x01\0\0\0\x03ab",
        b"\0\0\x08\x01\0\0\0\x01ab",
        b"\0\0\x08\x03\0\0\0\x01a",
        b"\x1f\x8b\x08\x01\0\0\0\x01a",
    ],
)
def test_a_file_that_is_no_whole_array_is_refused(tmp_path, raw):
    path = tmp_path / "labels"
    path.write_bytes(raw)
    with pytest.raises(SafsError, match="labels is corrupt"):
        read_idx(path, 1)
