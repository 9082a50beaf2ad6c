"""On small files in the published format."""

import os
import pickle

import numpy as np
import pytest
import torch

from safs.data.options import Options
from safs.data.pixels import resize
from safs.data.registry import check_files, load
from safs.data.unpickling import read_arrays
from spaces.errors import SafsError

TRUSTED = Options(trust_pickle=True, residence="host")


def batch(n, size, seed, first=1):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 3 * size * size), dtype=np.uint8)
    return {"data": pixels, "labels": [first + k % 1000 for k in range(n)], "mean": pixels.mean(0)}


def write(root, size=16, protocol=pickle.HIGHEST_PROTOCOL):
    folder = root / f"imagenet{size}"
    folder.mkdir(exist_ok=True)
    batches = {f"train_data_batch_{k}": batch(3 + k % 2, size, k, first=k) for k in range(1, 11)}
    batches["val_data"] = batch(5, size, 99, first=996)
    for name, content in batches.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    return batches


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def read(root, split="train", name="imagenet16", train=None, options=TRUSTED):
    return load(name, split, root=root, device="cpu", options=options, train=train)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_batches_are_read_in_order_channel_by_channel(tmp_path, size, protocol):
    batches = write(tmp_path, size, protocol)
    data = read(tmp_path, name=f"imagenet{size}")
    rows = [batches[f"train_data_batch_{k}"] for k in range(1, 11)]
    expected = np.concatenate([row["data"] for row in rows]).reshape(-1, 3, size, size)
    assert np.array_equal(data.images.numpy(), expected)
    assert data.labels.tolist() == [label - 1 for row in rows for label in row["labels"]]
    assert data.classes == 1000


def test_the_test_split_is_val_data_with_the_constants_of_the_training_split(root):
    train = read(root)
    test = read(root, "test", train=train)
    assert test.labels.tolist() == [995, 996, 997, 998, 999]
    assert test.normalisation == train.normalisation
    assert train.normalisation.mean == pytest.approx((train.images.double() / 255).mean((0, 2, 3)).tolist())


def test_pickles_need_trust(root):
    for use in (lambda: read(root, options=Options()), lambda: check_files("imagenet16", "test", root=root)):
        with pytest.raises(SafsError, match=r"consists of pickles .* set `data\.trust_pickle: true`"):
            use()


def test_a_missing_batch_is_named(root):
    (root / "imagenet16" / "train_data_batch_7").unlink()
    with pytest.raises(SafsError, match=r"There is no file .*imagenet16/train_data_batch_7"):
        read(root)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_trusted_pickle_is_refused_and_not_run(root, tmp_path):
    content = batch(3, 16, 0) | {"mean": Harmful(tmp_path / "harm")}
    (root / "imagenet16" / "train_data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(SafsError, match=r"train_data_batch_2 must hold arrays only, but names \w+\.mkdir"):
        read(root)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "numpy.load", "numpy.core.multiarray.fromfile", "torch._utils._rebuild"]
)
def test_nothing_but_what_arrays_need_can_be_named(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    path = tmp_path / "pickle"
    path.write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(SafsError, match=f"names {name}: it is refused"):
        read_arrays(path)


def whole():
    return pickle.dumps(batch(4, 16, 0))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"no pickle", whole()[:-1], whole()[:200], b"(" * 50, whole()[5:]])
def test_a_truncated_pickle_is_refused(root, raw):
    (root / "imagenet16" / "train_data_batch_1").write_bytes(raw)
    with pytest.raises(SafsError, match=r"train_data_batch_1 is truncated or no pickle .* fetch it again"):
        read(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r"must be a dict with 'data' and 'labels', but is a list"),
        ({"data": 1, "fine": 2}, "but has data, fine"),
        (batch(3, 32, 0), r"'data' in .* must be uint8 \[n, 768\], but is uint8 \[3, 3072\]"),
        ({"data": np.zeros((3, 768)), "labels": [1] * 3}, r"but is float64 \[3, 768\]"),
        ({"data": np.zeros(768, np.uint8), "labels": [1] * 768}, r"but is uint8 \[768\]"),
        ({"data": b"abc", "labels": [1]}, "but is bytes"),
        (batch(3, 16, 0) | {"labels": [1, 2]}, r"must be 3 integers, but are int64 \[2\]"),
        (batch(3, 16, 0) | {"labels": [1, 2, 3.5]}, "must be 3 integers, but are float64"),
        (batch(3, 16, 0) | {"labels": [1, [2, 3], 4]}, "must be 3 integers"),
        (batch(3, 16, 0) | {"labels": [0, 1, 2]}, r"must lie in \[1, 1000\], but span 0 to 2"),
        (batch(3, 16, 0) | {"labels": [1, 2, 1001]}, "but span 1 to 1001"),
        ({"data": np.zeros((0, 768), np.uint8), "labels": []}, "must be 0 integers|but are none"),
    ],
)
def test_a_batch_of_another_layout_is_refused(root, content, message):
    (root / "imagenet16" / "train_data_batch_3").write_bytes(pickle.dumps(content))
    with pytest.raises(SafsError, match=message):
        read(root)


def test_an_array_that_claims_more_than_its_file_holds_is_refused(root):
    """`_reconstruct` makes an array of any size, which no data need follow."""
    raw = b"}(Vdata\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9999\nI768\ntVB\ntR"
    raw += b"Vlabels\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9999\ntVB\ntRu."
    found = pickle.loads(raw)
    assert found["data"].shape == (9999, 768)
    (root / "imagenet16" / "val_data").write_bytes(raw)
    with pytest.raises(SafsError, match=r"claims 9999 images|must lie in"):
        read(root, "test", train=read(root))


def test_it_takes_no_arguments(root):
    with pytest.raises(SafsError, match=r"'imagenet16' knows no `data\.kwargs\.classes`"):
        read(root, options=Options(trust_pickle=True, kwargs={"classes": 120}))


def test_images_can_be_resized(root):
    data = read(root, options=Options(trust_pickle=True, image_size=8, residence="host"))
    assert torch.equal(data.images, resize(read(root).images, 8))


def test_what_does_not_fit_into_memory_is_refused_before_a_file_is_opened(root):
    """A disk may hold more than the memory does: here, files of 4 TB with nothing in them."""
    for number in range(1, 11):
        with (root / "imagenet16" / f"train_data_batch_{number}").open("wb") as file:
            file.truncate(2**42)
    message = r"^Reading 57,266,230,613 images of 3×16×16 takes 52776\.6 GB of the host's memory, but only \d+"
    with pytest.raises(SafsError, match=message):
        read(root)
    with pytest.raises(SafsError, match=r"images of 3×8×8 takes 19791\.2 GB"):
        read(root, options=Options(trust_pickle=True, image_size=8))


def test_reading_holds_the_pixels_once(root):
    """Room for every row, and no more than the files are large."""
    data = read(root)
    held = data.images.untyped_storage().nbytes()
    assert data.images.nbytes <= held <= sum(path.stat().st_size for path in (root / "imagenet16").glob("train*"))
