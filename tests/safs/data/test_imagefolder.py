import pytest
import torch
from PIL import Image

from safs.data.options import Options
from safs.data.registry import check_files, load
from spaces.errors import SafsError

PIXELS = torch.randint(0, 256, (6, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def read(root, split="train", train=None, **options):
    return load("imagefolder", split, root=root, device="cpu", options=Options(**options), train=train)


@pytest.fixture
def root(tmp_path):
    names = ["train/bee/b.png", "train/bee/a.PNG", "train/ant/x.png", "train/cat/deep/er/y.png"]
    for name, image in zip([*names, "val/cat/z.png", "val/bee/w.png"], PIXELS, strict=True):
        save(tmp_path / name, image)
    (tmp_path / "train" / "bee" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "bee" / "._a.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    return tmp_path


def test_classes_are_folders_and_images_come_in_the_order_of_their_paths(root):
    data = read(root, residence="host")
    assert data.classes == 3
    assert data.labels.tolist() == [0, 1, 1, 2]
    assert torch.equal(data.images, PIXELS[[2, 1, 0, 3]])


def test_the_classes_of_the_test_split_are_those_of_the_training_split(root):
    """ant has no folder in val: counted there, bee and cat would be 0 and 1."""
    train = read(root, residence="host")
    test = read(root, "test", train, residence="host")
    assert test.labels.tolist() == [1, 2]
    assert torch.equal(test.images, PIXELS[[5, 4]])
    assert (test.classes, test.normalisation) == (3, train.normalisation)


def test_a_folder_named_test_goes_before_val(root):
    save(root / "test" / "ant" / "a.png", PIXELS[0])
    assert read(root, "test", read(root)).labels.tolist() == [0]


def test_images_are_resized_if_asked_for(root):
    save(root / "train" / "ant" / "y.png", PIXELS[0][:, :4])
    with pytest.raises(SafsError, match=r"ant/y\.png is 4×7, but those before are 9×7; set `data\.image_size`"):
        read(root)
    assert read(root, image_size=5).shape == (3, 5, 5)


def test_test_images_of_another_size_are_refused(root):
    for name in ("cat/z.png", "bee/w.png"):
        save(root / "val" / name, PIXELS[0][:, :4])
    with pytest.raises(
        SafsError, match=r"test images \[3, 4, 7\] but training images \[3, 9, 7\]; set `data\.image_size`"
    ):
        read(root, "test", read(root))


def test_an_empty_class_folder_is_refused_before_anything_is_read(root):
    for split, folder in (("train", "train/dog"), ("test", "val/ant")):
        (root / folder).mkdir()
        with pytest.raises(SafsError, match=f"The class folder .*{folder} has no images"):
            check_files("imagefolder", split, root=root)


def test_a_test_class_without_training_images_is_refused_before_anything_is_read(root):
    save(root / "val" / "dog" / "d.png", PIXELS[0])
    with pytest.raises(SafsError, match=r"The class .*val/dog has no training images"):
        check_files("imagefolder", "test", root=root)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(SafsError, match=r"There is no folder train in .*; set `data\.root`"):
        read(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(SafsError, match=r"train must hold one folder of images for every class, but holds none"):
        read(tmp_path)
    save(tmp_path / "train" / "ant" / "a.png", PIXELS[0])
    with pytest.raises(SafsError, match=r"There is no folder test or val in"):
        check_files("imagefolder", "test", root=tmp_path)


def test_an_image_that_cannot_be_decoded_is_named(root):
    (root / "train" / "bee" / "c.jpg").write_bytes(b"no image")
    with pytest.raises(SafsError, match=r"bee/c\.jpg cannot be decoded"):
        read(root)


def test_it_takes_no_arguments(root):
    with pytest.raises(SafsError, match=r"knows no `data.kwargs.train`; known here: none"):
        read(root, kwargs={"train": "x"})
