import io

import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from safs.data.parquet import read_images
from safs.data.registry import load
from spaces.errors import SafsError

PIXELS = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy().squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def write(root, encoded, labels, *, column="img", field="bytes"):
    folder = root / "cifar10" / "plain_text"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({column: [{field: image, "path": None} for image in encoded], "label": labels})
    parquet.write_table(table, folder / "test-00000-of-00001.parquet")
    return folder / "test-00000-of-00001.parquet"


def load_test(root):
    return load("cifar10", "test", root=root, device="cpu")


@pytest.mark.parametrize(("split", "n"), [("train", 50000), ("test", 10000)])
def test_the_real_splits(real_root, split, n):
    data = load("cifar10", split, root=real_root, device="cpu")
    assert data.images.shape == (n, 3, 32, 32)
    assert torch.bincount(data.labels).tolist() == [n // 10] * 10
    # Re-encoding as JPEG moved the moments a little, hence 2 %.
    assert data.images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert data.images.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=0.02)


@pytest.mark.parametrize("column", ["img", "image"])
def test_png_pixels_come_back_exactly_without_a_training_file(tmp_path, column):
    write(tmp_path, [png(image) for image in PIXELS], [2, 0, 9], column=column)
    data = load_test(tmp_path)
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    expected = (PIXELS / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(data.images, expected)
    assert data.labels.tolist() == [2, 0, 9]


def test_a_grey_png_becomes_three_channels(tmp_path):
    write(tmp_path, [png(PIXELS[0][:1])], [1])
    assert load_test(tmp_path).images.shape == (1, 3, 32, 32)


def test_grey_images_can_be_read_as_one_channel(tmp_path):
    path = write(tmp_path, [png(image[:1]) for image in PIXELS], [1, 0, 2])
    images, labels = read_images(path, (1, 32, 32))
    assert torch.equal(images, PIXELS[:, :1])
    assert labels.tolist() == [1, 0, 2]


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path, [png(image) for image in PIXELS], [2, 0, 9])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SafsError, match="no readable Parquet file"):
        load_test(tmp_path)


@pytest.mark.parametrize("encoded", [b"", b"no image", png(PIXELS[1])[:200], None])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, encoded):
    write(tmp_path, [png(PIXELS[0]), encoded], [0, 1])
    with pytest.raises(SafsError, match="image 1 cannot be decoded"):
        load_test(tmp_path)


def test_an_image_of_another_size_is_named(tmp_path):
    write(tmp_path, [png(PIXELS[0]), png(PIXELS[1][:, :16])], [0, 1])
    with pytest.raises(SafsError, match="image 1 must be 32×32, but is 16×32"):
        load_test(tmp_path)


@pytest.mark.parametrize(
    "layout", [{"column": "picture"}, {"field": "pixels"}, {"labels": ["cat"]}, {"labels": [None]}]
)
def test_another_layout_is_refused_with_what_was_found(tmp_path, layout):
    write(tmp_path, [png(PIXELS[0])], **{"labels": [0], **layout})
    with pytest.raises(SafsError, match=r"must have columns .* but has .*label: "):
        load_test(tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    write(tmp_path, [png(PIXELS[0])], [10])
    with pytest.raises(SafsError, match=r"Labels must lie in \[0, 10\)"):
        load_test(tmp_path)
