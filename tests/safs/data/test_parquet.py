import io
import json

import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from safs.data.options import Options
from safs.data.registry import check_files, load
from spaces.errors import SafsError

PIXELS = torch.randint(0, 256, (7, 3, 10, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy().squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, images, labels, *, column="image", field="bytes", label="label", names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [image if isinstance(image, bytes | None) else png(image) for image in images]
    table = pa.table({column: [{field: image, "path": None} for image in encoded], label: labels})
    if names:
        features = {label: {"names": names, "_type": "ClassLabel"}, column: {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=2)


def read(root, split="train", train=None, **options):
    return load("parquet", split, root=root, device="cpu", options=Options(**options), train=train)


@pytest.fixture
def root(tmp_path):
    """Three training shards of 3, 2 and 2 images, and one test file."""
    labels = [0, 2, 1, 1, 0, 2, 2]
    for number, part in enumerate((slice(0, 3), slice(3, 5), slice(5, 7))):
        write(tmp_path / "data" / f"train-0000{number}-of-00003.parquet", PIXELS[part], labels[part])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", PIXELS[:2], [1, 0])
    return tmp_path


def test_shards_are_read_in_order_at_any_size(root):
    data = read(root, residence="host")
    assert torch.equal(data.images, PIXELS)
    assert data.labels.tolist() == [0, 2, 1, 1, 0, 2, 2]


def test_the_test_split_has_the_constants_and_classes_of_the_training_split(root):
    train = read(root)
    test = read(root, "test", train=train)
    assert test.classes == train.classes == 3
    assert test.normalisation == train.normalisation
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (train.normalisation.mean, train.normalisation.std))
    assert torch.equal(test.images, PIXELS[:2].float().div(255).sub(mean).div(std))
    assert train.images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_the_number_of_classes_is_in_the_metadata_of_the_training_files(root):
    write(root / "x" / "train-a.parquet", PIXELS[:2], [0, 1], names=["ant", "bee", "cat", "dog"])
    write(root / "x" / "test-a.parquet", PIXELS[:2], [0, 1], names=["ant", "bee"])
    patterns = {"train": "x/train-*.parquet", "test": "x/test-*.parquet"}
    train = read(root, kwargs=patterns)
    assert train.classes == 4
    assert read(root, "test", train, kwargs=patterns).classes == 4


def test_a_test_label_that_no_training_image_has_is_refused(root):
    write(root / "data" / "test-00000-of-00001.parquet", PIXELS[:2], [1, 3])
    with pytest.raises(SafsError, match=r"'parquet', split test: Labels must lie in \[0, 3\), but span 1 to 3"):
        read(root, "test", read(root))


def test_another_column_may_hold_the_labels(root):
    write(root / "data" / "fine.parquet", PIXELS[:2], [0, 1], label="fine_label")
    data = read(root, kwargs={"train": "data/fine.parquet", "label": "fine_label"})
    assert data.labels.tolist() == [0, 1]


def test_grey_and_coloured_images_make_a_coloured_set(root):
    write(root / "g" / "train-0.parquet", [PIXELS[0][:1], PIXELS[1]], [0, 1])
    write(root / "g" / "test-0.parquet", [PIXELS[0][:1]], [0])
    patterns = {"train": "g/train-*", "test": "g/test-*"}
    train = read(root, kwargs=patterns)
    assert train.shape == (3, 10, 12)
    assert read(root, "test", train, kwargs=patterns).shape == (3, 10, 12)


def test_mixed_sizes_name_the_key_that_resizes_them(root):
    write(root / "m" / "train-0.parquet", [PIXELS[0], PIXELS[1][:, :5]], [0, 1])
    with pytest.raises(SafsError, match=r"train-0\.parquet: image 1 is 5×12, but .* 10×12; set `data\.image_size`"):
        read(root, kwargs={"train": "m/*"})
    assert read(root, kwargs={"train": "m/*"}, image_size=8).shape == (3, 8, 8)


def test_a_missing_shard_is_noticed_before_anything_is_read(root):
    (root / "data" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(SafsError, match=r"incomplete: number 1 of 3 is missing"):
        check_files("parquet", "train", root=root)


def test_no_files_or_files_of_several_sets_are_refused(root):
    with pytest.raises(SafsError, match=r"There is no file nothing/\* in .*`data\.kwargs\.train`"):
        read(root, kwargs={"train": "nothing/*"})
    write(root / "other" / "train-0.parquet", PIXELS[:1], [0])
    with pytest.raises(SafsError, match=r"several folders \(data, other\); set `data\.kwargs\.train`"):
        read(root)


@pytest.mark.parametrize("pattern", ["", "/etc/*", "**x/*.parquet/.."])
def test_a_pattern_that_is_none_is_refused(root, pattern):
    with pytest.raises(SafsError, match=r"data\.kwargs\.train"):
        read(root, kwargs={"train": pattern})


def test_other_arguments_are_refused(root):
    with pytest.raises(SafsError, match=r"no `data\.kwargs\.tran`; did you mean 'train'\? known here: train, test"):
        read(root, kwargs={"tran": "*"})
    with pytest.raises(SafsError, match=r"`data\.kwargs\.train` of dataset 'parquet' must be a text, but is 3"):
        read(root, kwargs={"train": 3})


def test_a_truncated_file_is_refused(root):
    path = root / "data" / "train-00001-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SafsError, match=r"00001-of-00003.parquet is no readable Parquet file"):
        read(root)


def test_a_file_that_is_damaged_inside_is_refused(root):
    path = root / "data" / "train-00001-of-00003.parquet"
    raw = bytearray(path.read_bytes())
    raw[4:60] = b"\xff" * 56
    path.write_bytes(raw)
    with pytest.raises(SafsError, match=r"00001-of-00003\.parquet"):
        read(root)


@pytest.mark.parametrize("encoded", [b"", b"no image", png(PIXELS[1])[:200], None])
def test_an_image_that_cannot_be_decoded_is_named(root, encoded):
    write(root / "b" / "train.parquet", [PIXELS[0], PIXELS[1], encoded], [0, 1, 1])
    with pytest.raises(SafsError, match=r"train\.parquet: image 2 cannot be decoded"):
        read(root, kwargs={"train": "b/train.parquet"})


@pytest.mark.parametrize(
    "layout",
    [{"column": "picture"}, {"field": "pixels"}, {"labels": ["cat"]}, {"labels": [None]}, {"label": "class"}],
)
def test_another_layout_is_refused_with_what_was_found(root, layout):
    write(root / "l" / "train.parquet", [PIXELS[0]], **{"labels": [0], **layout})
    with pytest.raises(SafsError, match=r"must have columns .* but has .*: "):
        read(root, kwargs={"train": "l/train.parquet"})


def test_a_table_without_images_is_refused(root):
    parquet.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), root / "text.parquet")
    with pytest.raises(SafsError, match=r"must have columns `img` or `image`, .* but has text: string, label: int64"):
        read(root, kwargs={"train": "text.parquet"})


def test_a_null_among_the_labels_is_refused(root):
    write(root / "n" / "train.parquet", PIXELS[:2], [0, None])
    with pytest.raises(SafsError, match=r"an integer, without nulls"):
        read(root, kwargs={"train": "n/train.parquet"})


def test_a_file_without_rows_is_refused(root):
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary())])), ("label", pa.int64())])
    parquet.write_table(schema.empty_table(), root / "empty.parquet")
    with pytest.raises(SafsError, match=r"at least one row"):
        read(root, kwargs={"train": "empty.parquet"})


def varint(number):
    """As Thrift's compact protocol writes it: seven bits a byte, the lowest first."""
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def claim(path, n, rows):
    """Let the end of a file of `n` rows claim another number: a 64-bit field, 0x16, before the list of groups, 0x19."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    body, footer = raw[: -8 - length], raw[-8 - length : -8]
    field = b"\x16" + varint(2 * n) + b"\x19"
    assert footer.count(field) == 1
    footer = footer.replace(field, b"\x16" + varint(2 * rows) + b"\x19")
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (2**60, r"^Reading 1,152,921,504,606,846,980 images of 3×10×12 takes 415051741658\.5 GB of the host's memory"),
        (4, r"train-00000-of-00003\.parquet claims 4 rows, but has only 3; fetch it again"),
        (2, r"train-00000-of-00003\.parquet claims 2 rows, but has more; fetch it again"),
    ],
)
def test_a_file_that_claims_other_rows_than_it_has_is_refused(root, rows, message):
    claim(root / "data" / "train-00000-of-00003.parquet", 3, rows)
    with pytest.raises(SafsError, match=message):
        read(root)


def test_the_real_cifar10_is_such_a_set(real_root):
    options = Options(kwargs={"train": "cifar10/plain_text/test-*.parquet"}, residence="host")
    data = load("parquet", "train", root=real_root, device="cpu", options=options)
    assert data.images.shape == (10000, 3, 32, 32)
    assert data.classes == 10
