"""Batches on their way to the network: gathered, augmented and normalised on the device, streamed to it if need be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from safs.data.augmentation import crop_and_flip
from safs.data.dataset import Data


def feed(
    data: Data, batches: Sequence[Tensor], views: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images, float32 [b, c, h, w], and labels of each batch, on the device that trains.

    Args:
        data: the examples.
        batches: which examples, as indices on that device, the first batch as large as any.
        views: a generator on the CPU that the augmentation of `data` draws from; None takes images as they are.
    """
    seen = _views(data, batches, views)
    if data.images.dtype == torch.float32 and seen is None and not data.streamed:
        for batch in batches:
            yield data.images[batch], data.labels[batch]
        return
    gathered = _stream(data, batches) if data.streamed else (data.images[batch] for batch in batches)
    ready = _Preparation(data)
    for k, (batch, images) in enumerate(zip(batches, gathered, strict=True)):
        yield ready(images, seen[k] if seen else None), data.labels[batch]


def first(data: Data, n: int) -> Tensor:
    """Return the first `n` images, or all if there are fewer, as the network sees them."""
    ((images, _),) = feed(data, [torch.arange(min(n, len(data)), device=data.device)])
    return images


def _views(data: Data, batches: Sequence[Tensor], generator: torch.Generator | None) -> Sequence[Tensor] | None:
    """Return how each batch's images are seen; drawn for all of them at once, so that no batch waits for a transfer."""
    if generator is None or data.augmentation is None:
        return None
    sizes = [len(batch) for batch in batches]
    views: Sequence[Tensor] = data.augmentation.draw(sum(sizes), generator).to(data.device).split(sizes)
    return views


class _Preparation:
    """From gathered images to the network's input; its constants are on the device before the first batch is."""

    def __init__(self, data: Data) -> None:
        self._normalise = None
        self._black = torch.zeros((), dtype=data.images.dtype, device=data.device)
        if data.images.dtype == torch.uint8:
            assert data.normalisation is not None, "pixels come with the constants that normalise them"
            self._normalise = data.normalisation.on(data.device)
        elif data.normalisation is not None:
            black = torch.zeros(1, data.shape[0], 1, 1, dtype=torch.uint8)
            self._black = data.normalisation.on("cpu")(black)[0].to(data.device)

    def __call__(self, images: Tensor, views: Tensor | None) -> Tensor:
        """Return new float32 images: nothing of the buffer that `images` may lie in."""
        if views is not None:
            images = crop_and_flip(images, views, self._black)
        elif self._normalise is None:
            return images.clone()
        return self._normalise(images) if self._normalise else images


def _stream(data: Data, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the images of each batch on the device, each valid until the next is asked for, which is on its way."""
    side = torch.cuda.Stream(data.device) if data.device.type == "cuda" else None
    slots = [_Slot(data, len(batches[0]), side) for _ in range(2)]
    places = torch.cat(list(batches)).cpu().split([len(batch) for batch in batches])
    try:
        slots[0].send(data.images, places[0])
        for k, batch in enumerate(places):
            images = slots[k % 2].receive(len(batch))
            if k + 1 < len(places):
                slots[(k + 1) % 2].send(data.images, places[k + 1])
            yield images
            slots[k % 2].release()
    finally:
        if side is not None:  # what a slot's memory is used for next must come after what is still under way
            torch.cuda.current_stream(data.device).wait_stream(side)


class _Slot:
    """One of two buffers that batches pass through: pinned on the host, and its copy on the device.

    The host fills one while the device trains on the other. It waits only when it is two batches ahead, which also
    bounds the memory that is in flight. On a CPU the host's buffer is the device's.
    """

    def __init__(self, data: Data, size: int, side: torch.cuda.Stream | None) -> None:
        self._device, self._side = data.device, side
        self._staged = torch.empty((size, *data.shape), dtype=data.images.dtype, pin_memory=side is not None)
        self._arrived = self._staged
        if side is not None:
            self._arrived = torch.empty((size, *data.shape), dtype=data.images.dtype, device=data.device)
            self._copied, self._used = torch.cuda.Event(), torch.cuda.Event()
            side.wait_stream(torch.cuda.current_stream(data.device))

    def send(self, images: Tensor, batch: Tensor) -> None:
        """Gather a batch, and start copying it to the device once its last one there has been used."""
        if self._side is None:
            torch.index_select(images, 0, batch, out=self._staged[: len(batch)])
            return
        self._copied.synchronize()
        torch.index_select(images, 0, batch, out=self._staged[: len(batch)])
        with torch.cuda.stream(self._side):
            self._side.wait_event(self._used)
            self._arrived[: len(batch)].copy_(self._staged[: len(batch)], non_blocking=True)
            self._copied.record(self._side)

    def receive(self, size: int) -> Tensor:
        """Return the batch that was sent; the device waits for it, the host does not."""
        if self._side is not None:
            torch.cuda.current_stream(self._device).wait_event(self._copied)
        return self._arrived[:size]

    def release(self) -> None:
        """Allow the buffer to be filled again, after all that the device has been told to do so far."""
        if self._side is not None:
            self._used.record(torch.cuda.current_stream(self._device))
