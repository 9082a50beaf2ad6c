import sys
from functools import partial

import pytest

from safs.data.augmentation import Augmentation
from safs.data.options import Options
from safs.data.registry import check_files, load
from safs.data.roots import VARIABLE, data_file, data_root
from spaces.errors import SafsError


def test_the_root_is_the_explicit_one_then_the_variable_then_data(tmp_path, monkeypatch):
    for name in ("given", "named", "data"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root(None) == tmp_path / "named"
    monkeypatch.delenv(VARIABLE)
    assert data_root(None).resolve() == tmp_path / "data"


def test_a_missing_folder_or_file_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SafsError, match=f"no data folder {tmp_path}/data; set `data.root` or {VARIABLE}"):
        load("mnist", "test", root=None, device="cpu")
    with pytest.raises(SafsError, match=f"no file {tmp_path}/a/b; .* to the folder that holds a/b"):
        data_file(tmp_path, "a/b")
    with pytest.raises(SafsError, match=r"cifar10/plain_text/test-00000-of-00001.parquet"):
        load("cifar10", "test", root=tmp_path, device="cpu")


def test_unknown_names_list_the_choices():
    with pytest.raises(
        SafsError,
        match=r"Unknown dataset 'minst'. Did you mean 'mnist'.*cifar10, digits, .*imagenet64, mnist, .*torchvision/",
    ):
        load("minst", "test", root=None, device="cpu")
    with pytest.raises(SafsError, match=r"Unknown split 'valid'.*test, train"):
        load("digits", "valid", root=None, device="cpu")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SafsError, match=r"'digits' needs the package 'sklearn\.datasets'"):
        load("digits", "test", root=None, device="cpu")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    path.with_name("t10k-labels-idx1-ubyte").write_bytes(b"")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(SafsError, match=f"'mnist' cannot be read: .*{path}"):
        load("mnist", "test", root=tmp_path, device="cpu")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_missing_files_are_noticed_without_reading_any(name, tmp_path):
    with pytest.raises(SafsError, match="There is no file"):
        check_files(name, "test", root=tmp_path)


def test_a_dataset_without_files_has_none_missing():
    check_files("digits", "test", root=None)


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10"])
def test_named_sets_take_no_arguments(name, tmp_path):
    root = None if name == "digits" else tmp_path
    with pytest.raises(SafsError, match=f"{name!r} knows no `data.kwargs.n`; known here: none"):
        load(name, "test", root=root, device="cpu", options=Options(kwargs={"n": 1}))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits", Options(), "^Nothing reads `data.root`: 'digits' lies in no folder; leave it out"),
        ("mnist", Options(trust_pickle=True), "^Nothing reads `data.trust_pickle`: 'mnist' is none of imagenet16, "),
        ("parquet", Options(trust_pickle=True), "^Nothing reads `data.trust_pickle`"),
        ("torchvision/CIFAR10", Options(trust_pickle=True), "^Nothing reads `data.trust_pickle`"),
        ("safs:find_sites", Options(trust_pickle=True), "^Nothing reads `data.trust_pickle`"),
    ],
)
def test_what_nothing_reads_is_refused(name, options, message, tmp_path):
    for use in (check_files, partial(load, device="cpu")):
        with pytest.raises(SafsError, match=message):
            use(name, "train", root=tmp_path, options=options)


def test_named_sets_can_be_resized_and_augmented():
    options = Options(image_size=32, augmentation=Augmentation(crop=4))
    train = load("digits", "train", root=None, device="cpu", options=options)
    assert train.shape == (1, 32, 32)
    assert train.augmentation == Augmentation(crop=4)
    test = load("digits", "test", root=None, device="cpu", options=options, train=train)
    assert test.augmentation is None
    with pytest.raises(SafsError, match=r"test images \[1, 28, 28\] but training images \[1, 32, 32\]"):
        load("digits", "test", root=None, device="cpu", train=train)


def test_a_padding_as_large_as_the_image_is_refused():
    options = Options(augmentation=Augmentation(crop=28))
    with pytest.raises(SafsError, match=r"smaller than the image, 28×28, but is 28; set `data\.augment\.crop`"):
        load("digits", "train", root=None, device="cpu", options=options)
