from dataclasses import replace

import pytest
import torch

from safs.data import placement
from safs.data.dataset import Data
from safs.data.normalisation import Normalisation, normalised
from safs.data.placement import SHARE, choose, free_memory, place

CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (10, 1, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DATA = Data(PIXELS, torch.zeros(10, dtype=torch.int64), 2, Normalisation((0.5,), (0.25,)))
FLOATS = replace(DATA, images=normalised(PIXELS, DATA.normalisation, CPU))


@pytest.fixture
def memory(monkeypatch):
    """Sets the free memory of every device, in bytes."""
    return lambda free: monkeypatch.setattr(placement, "free_memory", lambda device, share: free)


@pytest.mark.parametrize(("free", "dtype"), [(1600, torch.float32), (1598, torch.uint8), (0, torch.uint8)])
def test_on_a_cpu_floats_are_made_if_they_take_at_most_half_of_the_memory(memory, free, dtype):
    memory(free)
    assert SHARE == 0.5
    data = place(DATA, CPU, "auto")
    assert (data.images.dtype, data.streamed) == (dtype, False)
    assert data.fingerprint() == DATA.fingerprint()


@pytest.mark.parametrize(
    ("images", "free", "chosen"),
    [
        (PIXELS, 1600, "floats"),
        (PIXELS, 1598, "as they are"),
        (PIXELS, 400, "as they are"),
        (PIXELS, 398, "streamed"),
        (FLOATS.images, 1600, "floats"),
        (FLOATS.images, 1598, "streamed"),
    ],
)
def test_a_gpu_holds_floats_then_pixels_then_nothing(images, free, chosen):
    assert choose(images, torch.device("cuda"), "auto", free) == chosen


def test_a_gpu_can_be_forced():
    gpu = torch.device("cuda")
    assert choose(PIXELS, gpu, "device", 0) == "as they are"
    assert choose(PIXELS, gpu, "device", 1600) == "floats"
    assert choose(PIXELS, gpu, "host", 2**40) == "streamed"


@pytest.mark.parametrize("data", [DATA, FLOATS], ids=["pixels", "floats"])
def test_a_residence_can_be_forced(memory, data):
    memory(2**40)
    assert place(data, CPU, "host").streamed
    assert place(data, CPU, "host").images is data.images
    memory(0)
    assert not place(data, CPU, "device").streamed
    assert place(data, CPU, "device").images.dtype == data.images.dtype


def test_the_free_memory_of_a_cpu_is_that_of_the_host(monkeypatch):
    monkeypatch.setattr(placement, "free_host_memory", lambda: 12345)
    assert free_memory(CPU) == 12345


def test_the_description_says_where_images_are_held():
    assert place(DATA, CPU, "host").describe() == {
        "examples": 10,
        "shape": [1, 4, 5],
        "classes": 2,
        "held_as": "uint8",
        "bytes": 200,
        "streamed": True,
        "normalisation": {"mean": (0.5,), "std": (0.25,)},
        "augmentation": None,
    }
