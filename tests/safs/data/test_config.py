"""What a config's `data` says reaches the training, the test split and the report."""

import numpy as np
import pytest
import torch
from PIL import Image

from safs.config.schema import Config
from safs.data.augmentation import Augmentation
from safs.pipeline.data import check_test, load_test, load_train
from safs.study import Study
from spaces.errors import SafsError

CPU = torch.device("cpu")


@pytest.fixture
def read(tiny_values):
    return lambda settings: Config.from_mapping(tiny_values(data=settings))


@pytest.fixture
def folder(tmp_path):
    """Three classes of 28×28 images, twelve of each to train on and four to test on."""
    generator = np.random.default_rng(0)
    for split, n in (("train", 12), ("val", 4)):
        for label, name in enumerate(("ant", "bee", "cat")):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for number in range(n):
                pixels = generator.integers(0, 80, (28, 28)) + 80 * label
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "images"


def test_every_key_is_read(read, folder):
    settings = {"name": "imagefolder", "root": str(folder), "image_size": 32, "resident": "host"}
    config = read({**settings, "augment": {"crop": 4, "flip": True}})
    check_test(config.data)
    train = load_train(config.data, CPU)
    assert train.shape == (1, 32, 32)
    assert train.augmentation == Augmentation(4, True)
    assert train.streamed
    test = load_test(config.data, train)
    assert (len(test), test.shape, test.augmentation) == (12, (1, 32, 32), None)
    assert test.normalisation == train.normalisation


def test_without_them_nothing_is_changed(read):
    config = read("digits")
    assert config.data.augment is None
    train = load_train(config.data, CPU)
    assert (train.augmentation, train.streamed, train.images.dtype) == (None, False, torch.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": {"crop": -1}}, "'data.augment.crop': input should be greater than or equal to 0"),
        ({"augment": {"crop": True}}, "'data.augment.crop': must not be true or false"),
        ({"augment": {"flip": "maybe"}}, "'data.augment.flip': input should be a valid boolean"),
        ({"augment": {"flipp": True}}, "Unknown key 'data.augment.flipp' .* did you mean 'flip'"),
        ({"image_size": 0}, "'data.image_size': input should be greater than or equal to 1"),
        ({"resident": "disk"}, "'data.resident': input should be 'auto', 'device' or 'host'"),
        ({"trust_pickel": True}, "Unknown key 'data.trust_pickel' .* did you mean 'trust_pickle'"),
        ({"kwargs": [1]}, "'data.kwargs'"),
        ({"name": "imagenet"}, "Unknown dataset 'imagenet'. Did you mean 'imagenet"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(read, settings, message):
    with pytest.raises(SafsError, match=message):
        read({"name": "digits", **settings})


def test_a_study_of_augmented_streamed_images_tells_what_it_did(tiny_values, folder, tmp_path, records):
    values = tiny_values(
        model={"kwargs": {"num_classes": 3}, "pretrain": {"batch_size": 8}},
        data={"name": "imagefolder", "root": str(folder), "augment": {"crop": 2, "flip": True}, "resident": "host"},
        train={"batch_size": 8, "epochs": 1},
        stage1={"iterations": 1, "operators": ["relu", "srs"]},
        stage2={"trials": 2},
        report={"seeds": 1},
    )
    Study(Config.from_mapping(values), tmp_path / "run").run()
    (problem,) = [record for record in records(tmp_path / "run") if record["kind"] == "problem"]
    assert problem["data"]["augmentation"] == {"crop": 2, "flip": True}
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "36 training images of 1×28×28 (0.00 GB as uint8) were streamed from the host" in page
    assert "Cropped at random from 2 pixels of black padding" in page
