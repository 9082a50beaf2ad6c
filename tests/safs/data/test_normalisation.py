import numpy as np
import pytest
import torch

from safs.data import normalisation
from safs.data.normalisation import Normalisation, measure, normalised

PIXELS = torch.randint(0, 256, (50, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_constants_are_those_of_all_pixels_of_a_channel():
    found = measure(PIXELS)
    scaled = PIXELS.numpy().astype(np.float64) / 255
    assert found.mean == pytest.approx(tuple(scaled.mean((0, 2, 3))), rel=1e-14)
    assert found.std == pytest.approx(tuple(scaled.std((0, 2, 3))), rel=1e-14)


def test_the_constants_depend_neither_on_order_nor_on_parts(monkeypatch):
    whole = measure(PIXELS)
    monkeypatch.setattr(normalisation, "_CHUNK", 3 * 35 * 7)
    assert measure(PIXELS) == whole
    assert measure(PIXELS.flip(0)) == whole
    assert measure(PIXELS[1:]) != whole


def test_a_channel_that_is_the_same_everywhere_is_not_divided_by_zero():
    pixels = torch.full((4, 2, 3, 3), 51, dtype=torch.uint8)
    pixels[0, 1] = 0
    found = measure(pixels)
    assert found.mean[0] == pytest.approx(0.2)
    assert found.std[0] == 1
    assert torch.isfinite(normalised(pixels, found, "cpu")).all()


def test_floats_are_made_part_by_part_with_the_bits_of_one_formula(monkeypatch):
    constants = Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (constants.mean, constants.std))
    expected = PIXELS.to(torch.float32).div(255).sub(mean).div(std)
    assert torch.equal(normalised(PIXELS, constants, "cpu"), expected)
    monkeypatch.setattr(normalisation, "_CHUNK", 1)
    assert torch.equal(normalised(PIXELS, constants, "cpu"), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_normalises_to_the_same_bits():
    constants = measure(PIXELS)
    on_device = constants.on("cuda")(PIXELS.cuda())
    assert torch.equal(on_device.cpu(), normalised(PIXELS, constants, "cpu"))
