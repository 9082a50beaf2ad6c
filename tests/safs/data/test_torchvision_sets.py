"""With files in the layout that torchvision's own classes read."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from safs.data import torchvision_sets
from safs.data.options import Options
from safs.data.registry import check_files, load
from spaces.errors import SafsError

PIXELS = torch.randint(0, 256, (6, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def read(name, root, split="train", train=None, **options):
    options = Options(residence="host", **options)
    return load(f"torchvision/{name}", split, root=root, device="cpu", options=options, train=train)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + sizes + array.numpy().tobytes())


@pytest.fixture
def fashion(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    for prefix, part, labels in (("train", slice(0, 4), [9, 0, 1, 9]), ("t10k", slice(4, 6), [3, 2])):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", PIXELS[part])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", torch.tensor(labels, dtype=torch.uint8))
    return tmp_path


def test_a_class_with_a_train_argument(fashion):
    train = read("FashionMNIST", fashion)
    test = read("FashionMNIST", fashion, "test", train)
    assert torch.equal(train.images, PIXELS[:4].unsqueeze(1))
    assert torch.equal(test.images, PIXELS[4:].unsqueeze(1))
    assert (train.labels.tolist(), test.labels.tolist()) == ([9, 0, 1, 9], [3, 2])
    assert train.classes == test.classes == 10
    assert test.normalisation == train.normalisation


def test_a_class_with_a_split_argument(tmp_path):
    """GTSRB has no list of classes: they are counted in the training split."""
    folder = tmp_path / "gtsrb"
    for label in (0, 1, 2):
        path = folder / "GTSRB" / "Training" / f"{label:05d}" / "a.ppm"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), label, np.uint8)).save(path)
    images = folder / "GTSRB" / "Final_Test" / "Images"
    images.mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(images / "0.ppm")
    (folder / "GT-final_test.csv").write_text("Filename;ClassId\n0.ppm;1\n")
    train = read("GTSRB", tmp_path)
    assert (train.labels.tolist(), train.classes) == ([0, 1, 2], 3)
    assert train.images[2].unique().tolist() == [2]
    test = read("GTSRB", tmp_path, "test", train)
    assert (test.labels.tolist(), test.classes) == ([1], 3)


def test_its_real_mnist_is_ours(real_root):
    theirs = read("MNIST", real_root, "test", train=read("MNIST", real_root))
    ours = load("mnist", "test", root=real_root, device="cpu", options=Options(residence="host"))
    assert torch.equal(theirs.images, ours.images)
    assert torch.equal(theirs.labels, ours.labels)
    assert theirs.normalisation.mean == pytest.approx(ours.normalisation.mean, abs=1e-4)
    assert theirs.normalisation.std == pytest.approx(ours.normalisation.std, abs=1e-4)


def test_arguments_go_to_the_class(tmp_path):
    raw = tmp_path / "EMNIST" / "raw"
    for split in ("train", "test"):
        write_idx(raw / f"emnist-letters-{split}-images-idx3-ubyte", PIXELS[:2])
        write_idx(raw / f"emnist-letters-{split}-labels-idx1-ubyte", torch.tensor([1, 26], dtype=torch.uint8))
    assert read("EMNIST", tmp_path, kwargs={"split": "letters"}).labels.tolist() == [1, 26]
    with pytest.raises(SafsError, match=r"'torchvision/EMNIST' has no train split in .*Unknown value 'lettres'"):
        read("EMNIST", tmp_path, kwargs={"split": "lettres"})
    with pytest.raises(SafsError, match=r"has no train split in .*missing 1 required positional argument: 'split'"):
        read("EMNIST", tmp_path)


@pytest.mark.parametrize("key", ["root", "download", "transform", "train"])
def test_what_the_study_sets_cannot_be_given(fashion, key):
    with pytest.raises(SafsError, match=f"`data.kwargs.{key}` is set by the study itself"):
        read("FashionMNIST", fashion, kwargs={key: True})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FashionMNIST", r"there is no FashionMNIST/raw/t10k-images-idx3-ubyte or FashionMNIST/processed/test\.pt\.$"),
        ("SVHN", r"there is no test_32x32\.mat\.$"),
        ("GTSRB", r"Dataset not found\.$"),
    ],
)
def test_a_missing_split_is_noticed_at_once_and_never_downloaded(tmp_path, name, message):
    with pytest.raises(SafsError, match=rf"'torchvision/{name}' has no test split in .*: {message}"):
        check_files(f"torchvision/{name}", "test", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_test_split_is_not_read_before_the_end_of_a_study(fashion):
    """Its files are no images: whoever reads them fails."""
    for path in (fashion / "FashionMNIST" / "raw").glob("t10k-*"):
        path.write_bytes(b"no images")
    check_files("torchvision/FashionMNIST", "test", root=fashion)
    train = read("FashionMNIST", fashion)
    with pytest.raises(SafsError, match="'torchvision/FashionMNIST' has no test split in"):
        read("FashionMNIST", fashion, "test", train)


def test_every_class_whose_constructor_reads_images_is_one_of_torchvision():
    for name, patterns in torchvision_sets._TEST_FILES.items():
        assert issubclass(getattr(datasets, name), datasets.VisionDataset)
        assert patterns


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


WORDNET = ("n01440764", "n02102040")


@pytest.fixture
def imagenet(tmp_path):
    """ImageNet, unpacked, and Imagenette, each of two classes."""
    torch.save(({name: (f"the {name}",) for name in WORDNET}, []), tmp_path / "meta.bin")
    for folder in (tmp_path, tmp_path / "imagenette2"):
        for label, name in enumerate(WORDNET):
            save(folder / "train" / name / "a.jpeg", 50 + 100 * label)
        save(folder / "val" / WORDNET[1] / "b.jpeg", 200)
        save(folder / "val" / WORDNET[0] / "c.jpeg", 20)
    return tmp_path


@pytest.mark.parametrize("name", ["ImageNet", "Imagenette"])
def test_without_a_test_split_the_validation_split_is_it(imagenet, name):
    check_files(f"torchvision/{name}", "test", root=imagenet)
    train = read(name, imagenet)
    test = read(name, imagenet, "test", train)
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1], [0, 1])
    assert test.images[:, 0, 0, 0].tolist() == [20, 200]
    assert test.classes == 2


def test_a_missing_validation_split_is_noticed_at_once(imagenet):
    (imagenet / "val").rename(imagenet / "elsewhere")
    with pytest.raises(SafsError, match=r"has no test split in .*: there is no val or ILSVRC2012_img_val\.tar\.$"):
        check_files("torchvision/ImageNet", "test", root=imagenet)
    (imagenet / "imagenette2" / "val").rename(imagenet / "imagenette2" / "elsewhere")
    with pytest.raises(SafsError, match=r"'torchvision/Imagenette' has no test split in"):
        check_files("torchvision/Imagenette", "test", root=imagenet)
    with pytest.raises(SafsError, match=r"has no test split in .*Unknown value '9px' for argument size"):
        check_files("torchvision/Imagenette", "test", root=imagenet, options=Options(kwargs={"size": "9px"}))


def test_a_file_with_another_checksum_is_never_unpickled(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(SafsError, match=r"Dataset not found or corrupted"):
        read("CIFAR10", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SUN397", r"no training and test split \(its arguments: loader\); use `imagefolder`"),
        ("VOCDetection", r"no training and test split \(its arguments: year, image_set\)"),
    ],
)
def test_a_class_without_these_splits_is_refused_with_what_it_offers(tmp_path, name, message):
    with pytest.raises(SafsError, match=message) as error:
        check_files(f"torchvision/{name}", "test", root=tmp_path)
    assert "\n" not in str(error.value)


def test_unknown_names_list_the_nearest(tmp_path):
    with pytest.raises(SafsError, match=r"Unknown torchvision dataset 'FashonMNIST'. Did you mean 'FashionMNIST'"):
        read("FashonMNIST", tmp_path)


def test_no_class_fails_with_a_traceback(tmp_path):
    """Every one of them, in an empty folder: read nothing, download nothing, one line."""
    names = [
        name
        for name, cls in vars(datasets).items()
        if isinstance(cls, type) and issubclass(cls, datasets.VisionDataset)
    ]
    assert len(names) > 50
    for name in names:
        with pytest.raises(SafsError) as error:
            check_files(f"torchvision/{name}", "train", root=tmp_path)
        assert "\n" not in str(error.value), name
    assert list(tmp_path.iterdir()) == []
