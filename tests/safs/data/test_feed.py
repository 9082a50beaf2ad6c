"""How images are held changes no bit of what a network sees; augmentation is a matter of the seed alone."""

from dataclasses import replace

import pytest
import torch

from safs.data.augmentation import Augmentation
from safs.data.dataset import Data
from safs.data.feed import feed
from safs.data.normalisation import measure, normalised
from safs.data.placement import place
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.training import evaluate, train

CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (70, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(70) % 10
RAW = Data(PIXELS, LABELS, 10, measure(PIXELS))
SGD = Protocol(epochs=3, batch_size=16, optimizer="sgd", lr=0.01, momentum=0.9)
DEVICES = [
    CPU,
    pytest.param(torch.device("cuda", 0), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
augmentations = pytest.mark.parametrize("augmentation", [None, Augmentation(2, True)], ids=["plain", "augmented"])


def held(augmentation=None, device=CPU):
    """The same split: as floats on the device, as pixels on the device, and streamed, as pixels and as floats."""
    raw = replace(RAW, augmentation=augmentation)
    floats = replace(raw, images=normalised(raw.images, raw.normalisation, CPU))
    return {
        "floats": place(raw, device, "device"),
        "pixels": replace(raw, images=raw.images.to(device), labels=raw.labels.to(device)),
        "streamed pixels": place(raw, device, "host"),
        "streamed floats": place(floats, device, "host"),
    }


def batches(device, sizes=(16, 16, 16, 5)):
    order = torch.randperm(70, generator=torch.Generator().manual_seed(3))
    return list(order[: sum(sizes)].to(device).split(sizes))


def trained(data, seed=1):
    network = make_model("lenet5", seed=0).to(data.device)
    mask = prune(network, 0.9)
    history = train(network, mask, data, torch.arange(70, device=data.device), SGD, seed=seed)
    return history, {name: tensor.cpu() for name, tensor in network.state_dict().items()}


def test_there_are_four_ways():
    ways = held()
    assert [ways[name].images.dtype for name in ways] == [torch.float32, torch.uint8, torch.uint8, torch.float32]
    assert [ways[name].streamed for name in ways] == [False, False, True, True]


@augmentations
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_the_batches_are_the_same_bits_however_the_images_are_held(augmentation, device):
    seen = {
        name: [(images.clone(), labels) for images, labels in feed(data, batches(device), torch.Generator())]
        for name, data in held(augmentation, device).items()
    }
    plain = normalised(PIXELS, RAW.normalisation, CPU)
    for name, pairs in seen.items():
        assert len(pairs) == 4
        for batch, (images, labels), (expected, _) in zip(batches(device), pairs, seen["floats"], strict=True):
            assert images.dtype == torch.float32
            assert images.device == labels.device == device
            assert torch.equal(images, expected), name
            assert torch.equal(labels.cpu(), LABELS[batch.cpu()])
            assert torch.equal(images.cpu(), plain[batch.cpu()]) == (augmentation is None)


@pytest.mark.parametrize("name", held())
def test_a_batch_outlives_the_next_ones(name):
    data = held()[name]
    kept = [images for images, _ in feed(data, batches(CPU))]
    plain = normalised(PIXELS, RAW.normalisation, CPU)
    assert all(torch.equal(images, plain[batch]) for images, batch in zip(kept, batches(CPU), strict=True))


@augmentations
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_training_ends_with_the_same_bits_however_the_images_are_held(augmentation, device):
    ways = held(augmentation, device)
    history, weights = trained(ways.pop("floats"))
    for name, data in ways.items():
        again, other = trained(data)
        assert again == history, name
        assert all(torch.equal(other[key], tensor) for key, tensor in weights.items()), name


@pytest.mark.parametrize("name", held())
def test_only_training_batches_are_augmented(name):
    augmented, plain = held(Augmentation(3, True))[name], held()[name]
    network = make_model("lenet5", seed=0)
    assert evaluate(network, augmented) == evaluate(network, plain)
    assert evaluate(network, augmented, torch.arange(0, 70, 3), batch_size=7) == evaluate(
        network, plain, torch.arange(0, 70, 3), batch_size=7
    )
    assert trained(augmented)[0] != trained(plain)[0]


def test_the_seed_alone_decides_what_is_seen():
    data = held(Augmentation(2, True))["floats"]
    history, _ = trained(data)
    torch.manual_seed(99)
    torch.rand(5)
    state = torch.get_rng_state()
    assert trained(data)[0] == history
    assert torch.equal(torch.get_rng_state(), state)
    assert trained(data, seed=2)[0] != history


def test_an_epoch_sees_other_views_than_the_last():
    data, generator = held(Augmentation(2, True))["floats"], torch.Generator().manual_seed(0)
    (first,), (second,) = ([images for images, _ in feed(data, [torch.arange(70)], generator)] for _ in range(2))
    assert not torch.equal(first, second)


def test_a_training_in_two_spans_sees_what_one_in_one_does():
    data, everything = held(Augmentation(2, True))["floats"], torch.arange(70)
    protocol = Protocol(epochs=3, batch_size=16, optimizer="sgd", lr=0.01, schedule="constant")
    whole, parted = make_model("lenet5", seed=0), make_model("lenet5", seed=0)
    history = train(whole, {}, data, everything, protocol, seed=1)
    for span in ((0, 1), (1, 3)):
        assert train(parted, {}, data, everything, protocol, seed=1, span=span) == history[slice(*span)]


def test_augmentation_does_not_change_the_order_of_the_examples():
    """With black images what is seen cannot differ, so that only the order could."""
    black = Data(torch.zeros_like(PIXELS), LABELS, 10, RAW.normalisation)
    plain, augmented = (
        place(replace(black, augmentation=augmentation), CPU, "device")
        for augmentation in (None, Augmentation(2, True))
    )
    assert trained(plain)[0] == trained(augmented)[0]


def test_a_stream_that_is_left_early_can_be_started_anew():
    data = held()["streamed pixels"]
    stream = feed(data, batches(CPU))
    images, _ = next(stream)
    stream.close()
    again, _ = next(feed(data, batches(CPU)))
    assert torch.equal(images, again)


def test_images_without_constants_are_cropped_from_zeros():
    data = Data(torch.ones(8, 1, 4, 4), LABELS[:8], 10, augmentation=Augmentation(crop=3))
    ((images, _),) = feed(data, [torch.arange(8)], torch.Generator().manual_seed(0))
    assert set(images.unique().tolist()) == {0.0, 1.0}
