import sys

import numpy as np
import pytest
import torch
from PIL import Image

from safs.data import memory, normalisation
from safs.data.options import Options
from safs.data.registry import check_files, load
from spaces.errors import SafsError

MODULE = """
import sys
import numpy as np, torch
from PIL import Image
from torch.utils.data import Dataset

def pixels(split, n=6, size=4):
    generator = torch.Generator().manual_seed({"train": 0, "test": 1}[split])
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    return images, torch.arange(n) % 3

def arrays(split):
    images, labels = pixels(split)
    return images.numpy(), labels.numpy().astype("int16")

def floats(split):
    images, labels = pixels(split)
    return images.float() / 255, labels.tolist()

def forms(split, what):
    images, labels = pixels(split)
    array = images.numpy()
    frames = np.zeros(array.shape, [("flag", "u1"), ("value", "f4")])
    frames["value"] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    return {
        "mirrored": (array[..., ::-1].copy()[..., ::-1], labels.flip(0).numpy()[::-1]),
        "channels last": (array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), labels),
        "permuted": (images.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3), labels),
        "other byte order": (array.astype(">f4"), labels.numpy().astype(">i8")),
        "fields": (frames["value"], labels.numpy().astype("<u2")),
        "read only": (frozen, labels.numpy().astype("i1")),
        "trained": (torch.nn.Parameter(images.float()), labels),
    }[what]

class Pictures(Dataset):
    classes = ["ant", "bee", "cat", "dog"]
    def __init__(self, split, form="pil"):
        self.images, self.labels = pixels(split)
        self.form = form
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, row):
        image = self.images[row]
        if self.form == "pil":
            image = Image.fromarray(image.permute(1, 2, 0).numpy())
        if self.form == "float":
            image = image.float() / 255
        return image, self.labels[row] if row % 2 else int(self.labels[row])

def pictures(split, form="pil"):
    return Pictures(split, form)

def returns(split, what):
    images, labels = pixels(split)
    class Items:
        def __init__(self, *pairs):
            self.pairs = pairs
        def __len__(self):
            return len(self.pairs)
        def __getitem__(self, row):
            return self.pairs[row]
    return {
        "none": None,
        "text": "images",
        "triple": (images, labels, 3),
        "long images": (images.numpy().astype(np.longdouble), labels),
        "long labels": (images, labels.numpy().astype(np.longdouble)),
        "large labels": (images, [0, 1, 2, 3, 4, 2**70]),
        "scalar labels": (images, np.array(3)),
        "sparse": (images.float().to_sparse(), labels),
        "meta": (images.to("meta"), labels),
        "no pixels": (images[..., :0], labels),
        "double": (images.double(), labels),
        "flat": (images.flatten(1), labels),
        "list": ([1, 2], labels),
        "float labels": (images, labels.float()),
        "bool labels": (images, labels > 0),
        "text labels": (images, ["a"] * 6),
        "two labels": (images, labels.view(2, 3)),
        "short": (images, labels[:4]),
        "empty": (images[:0], labels[:0]),
        "negative": (images, labels - 1),
        "dict": {"images": images, "labels": labels},
        "items": Items((images[0], 0), "no pair"),
        "soft": Items((images[0], 0), (images[1], 0.5)),
        "hot": Items((images[0], torch.eye(3)[0])),
        "matrix": Items((images[0], torch.eye(3))),
        "large": Items((images[0], 2**70)),
        "no pixels item": Items((images[0, :, :0], 0)),
        "meta item": Items((images[0].to("meta"), 0)),
        "sparse item": Items((images[0].float().to_sparse(), 0)),
        "strange": Items(("path.png", 0)),
        "no items": Items(),
        "mixed": Items((images[0], 0), (images[1][:, :2], 1)),
    }[what]

def train_only(split):
    if split == "test":
        raise RuntimeError("no test\\nsplit here")
    return pixels(split)

def unlike(split):
    images, labels = pixels(split)
    return (images if split == "train" else images.float()), labels

class Broken(Pictures):
    def __getitem__(self, row):
        if row == 2:
            raise OSError("disk on fire")
        return super().__getitem__(row)

def broken(split):
    return Broken(split)

class Uncounted(Pictures):
    def __len__(self):
        raise KeyError("index.json")

def uncounted(split):
    return Uncounted(split)

class Unnamed(Pictures):
    @property
    def classes(self):
        raise OSError("no names")

def unnamed(split):
    return Unnamed(split)

class Endless(Pictures):
    def __len__(self):
        return 2**50

def endless(split, form="uint8"):
    return Endless(split, form)

def expanded(split):
    images, labels = pixels(split)
    return images[:1].expand(2**50, 3, 4, 4), labels

def unfinite(split, value):
    images, labels = pixels(split)
    images = images.float()
    images[4, 2, 3, 3] = value
    return images, labels

def rooted(split, root):
    return torch.load(root / f"{split}.pt")

def anything(split, **kwargs):
    return rooted(split, **kwargs)

def quits(split):
    sys.exit("usage: train\\n--no")

class Quitting(Pictures):
    def __getitem__(self, row):
        sys.exit(row)

def quitting(split):
    return Quitting(split)

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "their_data.py").write_text(MODULE)
    (tmp_path / "their_broken_data.py").write_text("import no_such_package")
    (tmp_path / "their_program.py").write_text("import sys\nsys.exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("their_data", None)


def read(name, split="train", train=None, root=None, **options):
    options = Options(residence="host", **options)
    return load(f"their_data:{name}", split, root=root, device="cpu", options=options, train=train)


def expected(split="train"):
    generator = torch.Generator().manual_seed({"train": 0, "test": 1}[split])
    return torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["pixels", "arrays"])
def test_pixels_are_normalised_with_constants_of_the_training_split(name):
    train = read(name)
    test = read(name, "test", train)
    assert torch.equal(train.images, expected())
    assert torch.equal(test.images, expected("test"))
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.normalisation.mean == pytest.approx((expected().double() / 255).mean((0, 2, 3)).tolist())
    assert (test.classes, test.normalisation) == (3, train.normalisation)


def test_floats_are_taken_as_they_are():
    train = read("floats")
    assert torch.equal(train.images, expected().float() / 255)
    assert train.normalisation is None
    assert torch.equal(read("floats", "test", train).images, expected("test").float() / 255)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "what", ["mirrored", "channels last", "permuted", "other byte order", "fields", "read only", "trained"]
)
def test_arrays_and_tensors_may_lie_in_memory_in_any_way(what):
    data = read("forms", kwargs={"what": what})
    assert torch.equal(data.images, expected().to(data.images.dtype))
    assert data.images.is_contiguous()
    assert not data.images.requires_grad
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("form", ["pil", "uint8", "float"])
def test_a_map_style_dataset(form):
    train = read("pictures", kwargs={"form": form})
    assert torch.equal(train.images, expected().float() / 255 if form == "float" else expected())
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.classes == 4


def test_arguments_and_size():
    assert read("pixels", kwargs={"n": 3, "size": 9}, image_size=5).images.shape == (3, 3, 5, 5)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("none", r"must return a pair \(images, labels\) or a map-style dataset, but returned a NoneType"),
        ("text", "but returned a str"),
        ("triple", "but returned a tuple"),
        ("dict", "but returned a dict"),
        ("double", r"must return images \[n, c, h, w\], uint8 or float32, but returned torch.float64 \[6, 3, 4, 4\]"),
        ("flat", r"but returned torch.uint8 \[6, 48\]"),
        ("list", "must return images .* but returned list"),
        ("long images", r"must return images .* but returned (longdouble|float\d+) \[6, 3, 4, 4\]"),
        ("long labels", r"must return labels .* but returned (longdouble|float\d+) \[6\]"),
        ("large labels", "its images and labels cannot be taken as tensors: (Value|Runtime)Error: Overflow"),
        ("scalar labels", r"must return labels \[n\], integers, but returned int64 \[\]"),
        ("sparse", "must return images .* but returned a tensor that is sparse_coo"),
        ("meta", "cannot be taken as tensors: NotImplementedError: Cannot copy out of meta tensor"),
        ("no pixels", r"split train: Images must be .* but got torch.uint8 \[6, 3, 4, 0\]"),
        ("float labels", r"must return labels \[n\], integers, but returned torch.float32 \[6\]"),
        ("bool labels", "but returned torch.bool"),
        ("text labels", "but returned list"),
        ("two labels", r"but returned torch.int64 \[2, 3\]"),
        ("short", "6 images and 4 labels"),
        ("empty", "0 images and 0 labels"),
        ("negative", r"Labels must lie in \[0, 2\), but span -1 to 1"),
        ("items", r"image 1 must come as a pair \(image, label\), but is a str"),
        ("soft", "image 1 must have one class, an integer, as its label, but has 0.5"),
        ("hot", "image 0 must have one class, an integer"),
        ("matrix", r"image 0 must have one class, an integer, as its label, but has tensor\(\[\[1., 0., 0.\], \[0"),
        ("large", "image 0 must have one class, an integer, as its label, but has 1180591620717411303424"),
        ("no pixels item", r"image 0 must be a PIL image or a tensor .* but is torch.uint8 \[3, 0, 4\]"),
        ("meta item", "image 0 cannot be read: NotImplementedError: Cannot copy out of meta tensor"),
        ("sparse item", "image 0 must be a PIL image or a tensor"),
        ("strange", "image 0 must be a PIL image or a tensor"),
        ("no items", "at least one image, but is empty"),
        ("mixed", r"image 1 is 2×4, but those before are 4×4; set `data\.image_size`"),
    ],
)
def test_anything_else_is_refused_in_one_line(what, message):
    with pytest.raises(SafsError, match=message) as error:
        read("returns", kwargs={"what": what})
    assert "their_data:returns" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_factory_that_raises_is_named():
    train = read("train_only")
    with pytest.raises(SafsError, match=r"'their_data:train_only' failed on the split 'test': RuntimeError: no test$"):
        read("train_only", "test", train)
    with pytest.raises(SafsError, match=r"failed on the split 'train': TypeError: .*unexpected keyword argument 'm'"):
        read("pixels", kwargs={"m": 1})
    with pytest.raises(SafsError, match=r"broken': image 2 cannot be read: OSError: disk on fire"):
        read("broken")
    with pytest.raises(SafsError, match=r"uncounted': its length cannot be told: KeyError: 'index\.json'$"):
        read("uncounted")
    with pytest.raises(SafsError, match=r"unnamed': its `classes` cannot be counted: OSError: no names"):
        read("unnamed")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("their_program:f", r"cannot import 'their_program': it called sys\.exit\(3\); do that under `if __name__"),
        ("their_data:quits", r"failed on the split 'train': it called sys\.exit\('usage: train\\n--no'\)"),
        ("their_data:quitting", r"image 0 cannot be read: it called sys\.exit\(0\)"),
    ],
)
def test_a_factory_that_ends_the_program_is_named(name, message):
    with pytest.raises(SafsError, match=message) as error:
        load(name, "train", root=None, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "gigabytes"),
    [
        ("endless", {}, "54043195.5"),
        ("endless", {"kwargs": {"form": "float"}}, "216172782.1"),
        ("endless", {"image_size": 8}, "216172782.1"),
        ("expanded", {}, "54043195.5"),
    ],
)
def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(name, options, gigabytes):
    message = rf"^Reading 1,125,899,906,842,624 images of 3×\d×\d takes {gigabytes} GB of the host's memory, but only "
    with pytest.raises(SafsError, match=message + r"\d+\.\d GB are free; .*`data\.image_size`, or use fewer\.$"):
        read(name, **options)


def test_memory_that_the_system_does_not_give_is_one_line(monkeypatch):
    monkeypatch.setattr(memory, "free_host_memory", lambda: 2**70)
    with pytest.raises(SafsError, match=r"^The images take more of the host's memory than this process can have.*\.$"):
        read("endless")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("image_size", [None, 5])
def test_floats_that_are_not_finite_are_refused_with_the_first_image(value, image_size, monkeypatch):
    monkeypatch.setattr(normalisation, "_CHUNK", 2 * 3 * 4 * 4)  # two images at a time
    with pytest.raises(SafsError, match=r"'their_data:unfinite', split train: image 4 holds NaN or infinity; images"):
        read("unfinite", kwargs={"value": value}, image_size=image_size)
    assert read("unfinite", kwargs={"value": 3e38}).images[4, 2, 3, 3] == torch.tensor(3e38)


@pytest.mark.parametrize("name", ["rooted", "anything"])
def test_the_root_goes_to_a_factory_that_takes_it(name, tmp_path):
    torch.save((expected(), torch.arange(6) % 3), tmp_path / "train.pt")
    assert torch.equal(read(name, root=tmp_path).images, expected())
    assert torch.equal(read(name, kwargs={"root": tmp_path}).images, expected())
    with pytest.raises(SafsError, match=r"`data\.root` and `data\.kwargs\.root` are the same argument .* give one"):
        read(name, root=tmp_path, kwargs={"root": tmp_path})
    with pytest.raises(SafsError, match=r"There is no data folder .*absent"):
        read(name, root=tmp_path / "absent")


def test_a_root_that_a_factory_does_not_take_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(SafsError, match=r"^Nothing reads `data\.root`: 'their_data:pixels' has no argument `root`"):
        check_files("their_data:pixels", "test", root=tmp_path)
    with pytest.raises(SafsError, match=r"^Nothing reads `data\.root`"):
        read("pixels", root=tmp_path)


def test_splits_of_different_types_are_refused():
    with pytest.raises(SafsError, match=r"unlike', split test: Both splits must be uint8 pixels, or both"):
        read("unlike", "test", read("unlike"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_x:f", "cannot import 'no_such_module_x': ModuleNotFoundError"),
        ("their_broken_data:f", "cannot import 'their_broken_data': .*no_such_package"),
        ("their_data:missing", "'missing' does not exist in .*their_data.py"),
        ("their_data:number", "'number' is not callable in"),
        (":f", "cannot import ''"),
    ],
)
def test_a_factory_that_is_not_there_is_noticed_before_anything_runs(name, message):
    with pytest.raises(SafsError, match=message):
        check_files(name, "test", root=None)


def test_the_test_split_is_not_read_without_the_training_split():
    with pytest.raises(SafsError, match=r"needs `train`, the training split"):
        read("pixels", "test")


def test_the_dataset_is_of_pictures():
    """The module's own check: what it calls a PIL image is one."""
    import their_data

    image, label = their_data.Pictures("train")[0]
    assert isinstance(image, Image.Image)
    assert np.asarray(image).shape == (4, 4, 3)
    assert label == 0
