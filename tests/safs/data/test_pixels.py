import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from safs.data import memory, normalisation
from safs.data.pixels import decode, resize, stack
from spaces.errors import SafsError

GENERATOR = torch.Generator().manual_seed(0)
COLOUR = torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8, generator=GENERATOR)
GREY = torch.randint(0, 256, (1, 8, 6), dtype=torch.uint8, generator=GENERATOR)


def encoded(image, form="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def pil(pixels):
    return Image.fromarray(pixels.permute(1, 2, 0).numpy().squeeze())


def named(*images):
    return [(f"image {number}", image) for number, image in enumerate(images)]


@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_a_png_comes_back_exactly_from_bytes_and_from_a_file(pixels, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(pil(pixels)))
    assert torch.equal(decode(path.read_bytes(), "it"), pixels)
    assert torch.equal(decode(path, "it"), pixels)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("CMYK", 3)])
def test_every_mode_of_8_bits_becomes_grey_or_colour(mode, channels):
    form = "TIFF" if mode == "CMYK" else "PNG"
    assert decode(encoded(pil(COLOUR).convert(mode), form), "it").shape == (channels, 8, 6)


def test_transparency_is_dropped():
    alpha = pil(COLOUR)
    alpha.putalpha(7)
    assert torch.equal(decode(encoded(alpha), "it"), COLOUR)


def test_more_than_8_bits_are_refused():
    deep = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(8, 6))
    with pytest.raises(SafsError, match=r"it has more than 8 bits a pixel \(mode I;16\)"):
        decode(encoded(deep), "it")


@pytest.mark.parametrize("raw", [b"", b"no image", encoded(pil(COLOUR))[:60], b"\x89PNG\r\n\x1a\n" + b"\0" * 50, None])
def test_what_is_no_image_is_named(raw):
    with pytest.raises(SafsError, match=r"^it cannot be decoded: .+$"):
        decode(raw, "it")


def test_images_are_stacked_in_order():
    assert torch.equal(stack(named(COLOUR, COLOUR + 1), 2, channels=None, size=None), torch.stack([COLOUR, COLOUR + 1]))


@pytest.mark.parametrize("order", [(GREY, GREY, COLOUR, GREY), (COLOUR, GREY)])
def test_grey_images_among_coloured_ones_get_three_equal_channels(order):
    expected = torch.stack([image.expand(3, 8, 6) for image in order])
    assert torch.equal(stack(named(*order), len(order), channels=None, size=None), expected)


def test_channels_can_be_given():
    assert stack(named(GREY), 1, channels=3, size=None).shape == (1, 3, 8, 6)
    with pytest.raises(SafsError, match="image 1 has 3 channels, but the dataset has 1"):
        stack(named(GREY, COLOUR), 2, channels=1, size=None)


def test_mixed_sizes_need_an_image_size():
    images = named(COLOUR, COLOUR[:, :5])
    with pytest.raises(SafsError, match=r"image 1 is 5×6, but those before are 8×6; set `data\.image_size`"):
        stack(images, 2, channels=None, size=None)
    assert stack(images, 2, channels=None, size=4).shape == (2, 3, 4, 4)


def test_mixed_types_are_refused():
    with pytest.raises(SafsError, match=r"image 1 is torch\.float32, but those before are torch\.uint8"):
        stack(named(COLOUR, COLOUR.float()), 2, channels=None, size=None)


def test_resizing_is_bilinear_with_antialiasing():
    """As Pillow does it, to within one step of rounding."""
    large = torch.randint(0, 256, (1, 3, 40, 30), dtype=torch.uint8, generator=GENERATOR)
    for size in (8, 13, 64):
        expected = np.asarray(pil(large[0]).resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        assert np.abs(resize(large, size)[0].numpy().astype(int) - expected).max() <= 1


def test_resizing_keeps_type_range_and_constant_images(monkeypatch):
    extremes = torch.tensor([0, 255], dtype=torch.uint8).repeat(9 * 9)[:81].view(1, 1, 9, 9)
    assert resize(extremes, 20).dtype == torch.uint8
    white = torch.full((5, 1, 9, 9), 255, dtype=torch.uint8)
    monkeypatch.setattr(normalisation, "_CHUNK", 200)
    assert torch.equal(resize(white, 4), torch.full((5, 1, 4, 4), 255, dtype=torch.uint8))
    floats = white.float() / 255
    assert resize(floats, 4).dtype == torch.float32
    assert resize(floats, 9) is floats


def test_resizing_holds_only_a_part_of_the_images_as_floats(monkeypatch):
    """However large they become: 16 times 9×9 values are a part."""
    parts = []
    monkeypatch.setattr(normalisation, "_CHUNK", 16 * 81)
    interpolate = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda part, **how: parts.append(len(part)) or interpolate(part, **how))
    resize(torch.zeros(32, 1, 9, 9, dtype=torch.uint8), 36)
    resize(torch.zeros(32, 1, 9, 9, dtype=torch.uint8), 3)
    assert parts == [1] * 32 + [16] * 2


def test_the_memory_for_colour_and_for_the_new_size_is_looked_for(monkeypatch):
    monkeypatch.setattr(memory, "free_host_memory", lambda: 2 * 48)
    assert stack(named(GREY, GREY), 2, channels=None, size=None).shape == (2, 1, 8, 6)
    for images, size in (((GREY, COLOUR), None), ((GREY, GREY), 7)):
        with pytest.raises(SafsError, match=r"^Reading 2 images of \d×\d×\d takes 0\.0 GB .* 0\.0 GB are free"):
            stack(named(*images), 2, channels=None, size=size)
    with pytest.raises(SafsError, match=r"^Reading 1 images of 3×8×8"):
        resize(COLOUR.unsqueeze(0), 8)
