import io

import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from safs.data.registry import load
from spaces.errors import SafsError

PIXELS = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy().squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def write(root, encoded, labels, *, column="img"):
    folder = root / "cifar10" / "plain_text"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({column: [{"bytes": image, "path": None} for image in encoded], "label": labels})
    parquet.write_table(table, folder / "test-00000-of-00001.parquet")


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


def test_images_of_another_size_are_refused(tmp_path):
    write(tmp_path, [png(PIXELS[0][:, :16])], [0])
    with pytest.raises(SafsError, match="must be 32×32, but are 16×32"):
        load_test(tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    write(tmp_path, [png(PIXELS[0])], [10])
    with pytest.raises(SafsError, match=r"Labels must lie in \[0, 10\)"):
        load_test(tmp_path)
