"""The training loop: data on the device or streamed to it, masks held at every step, no host sync per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.data.dataset import Data
from safs.data.feed import feed
from safs.masks import MaskHolder
from safs.optim.registry import make_optimizer
from safs.optim.schedules import make_schedule
from safs.protocol import Protocol
from safs.surgery import ACTIVATIONS

_CHECK_EVERY = 100
"""Steps between two looks at the losses: each look waits for the device."""
_VIEWS = 0x5AF5
"""Tells the seed of the augmentation from that of the order of the examples."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite: a normal outcome of some operators (symexp)."""

    def __init__(self, epoch: int, step: int | None) -> None:
        what = "loss was not finite" if step else "validation loss was not finite"
        at = f" at step {step} (both counted from 1)" if step else ""
        super().__init__(f"the {what} in epoch {epoch}{at}")
        self.epoch = epoch
        self.step = step


class Callback:
    """What can be done while a network trains; the training loop itself grows no options."""

    def on_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        """Called at every step before the optimiser's, with the weights and biases and their masked gradients."""

    def on_epoch(self, epoch: int, loss: float) -> None:
        """Called after every epoch, counted from 1, with its mean training loss."""


@dataclass(frozen=True)
class Score:
    """A network's mean cross-entropy in nats, and its accuracy in [0, 1]."""

    loss: float
    accuracy: float


def train(
    network: nn.Module,
    mask: Mapping[str, Tensor],
    data: Data,
    indices: Tensor,
    protocol: Protocol,
    *,
    seed: int,
    span: tuple[int, int] | None = None,
    callbacks: Sequence[Callback] = (),
) -> list[float]:
    """Train a network in place and return the mean training loss of every epoch, in nats.

    Args:
        network: a network on the device of `data`.
        mask: its masks; masked weights are zero after every step.
        data: the examples, augmented if it says so.
        indices: which examples to train on.
        protocol: how to train.
        seed: seeds the order of the examples, their augmentation, and whatever the network draws (dropout).
        span: from after which epoch to after which is trained, with these epochs' examples and learning rates; None:
            all of the protocol.

    Raises:
        NonFiniteLossError: if the loss stops being finite, with the first such step.
    """
    weights, scales = split_parameters(network)
    optimizer = make_optimizer(
        protocol.optimizer,
        weights,
        scales,
        lr=protocol.lr,
        scale_lr=protocol.lr * protocol.scale_lr,
        momentum=protocol.momentum,
        weight_decay=protocol.weight_decay,
    )
    schedule = make_schedule(protocol.schedule, optimizer, protocol.epochs, restart_period=protocol.restart_period)
    holder = MaskHolder(network.named_parameters(remove_duplicate=False), mask)
    holder.mask_weights()
    order = torch.Generator().manual_seed(seed)
    history: list[float] = []
    first, last = span or (0, protocol.epochs)
    devices = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        # Not torch.manual_seed, which would reseed devices that this training does not use.
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(devices[0]):
                torch.cuda.manual_seed(seed)
        network.train()
        for _ in range(first):
            _batches(indices, protocol.batch_size, order)
        schedule.skip(first)
        for epoch in range(first + 1, last + 1):
            batches = _batches(indices, protocol.batch_size, order)
            views = torch.Generator().manual_seed((seed ^ _VIEWS) + epoch)
            losses = torch.zeros(len(batches), device=data.device)
            for step, (images, labels) in enumerate(feed(data, batches, views)):
                loss = F.cross_entropy(network(images), labels)
                optimizer.zero_grad()
                loss.backward()
                holder.mask_gradients()
                for callback in callbacks:
                    callback.on_gradients(weights)
                optimizer.step()
                holder.mask_weights()
                losses[step] = loss.detach()
                if (step + 1) % _CHECK_EVERY == 0 or step + 1 == len(batches):
                    _check_finite(losses[: step + 1], epoch)
            history.append(float(losses.double().mean()))
            for callback in callbacks:
                callback.on_epoch(epoch, history[-1])
            schedule.step(history[-1])
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise NonFiniteLossError(last, len(batches))
    return history


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return a network's trainable parameters: its own, and α, β and constants of its activations."""
    weights: list[nn.Parameter] = []
    scales: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (scales if name.startswith(f"{ACTIVATIONS}.") else weights).append(parameter)
    return weights, scales


def _batches(indices: Tensor, size: int, order: torch.Generator) -> list[Tensor]:
    """Return the index tensors of one epoch's batches, all of the same size, in random order."""
    size = min(size, len(indices))
    shuffled = indices[torch.randperm(len(indices), generator=order).to(indices.device)]
    return list(shuffled[: len(indices) // size * size].split(size))


def _check_finite(losses: Tensor, epoch: int) -> None:
    finite = torch.isfinite(losses)
    if not finite.all():
        raise NonFiniteLossError(epoch, int((~finite).nonzero()[0]) + 1)


@torch.no_grad()
def evaluate(network: nn.Module, data: Data, indices: Tensor | None = None, *, batch_size: int = 1000) -> Score:
    """Return a network's loss and accuracy on some examples, or on all of them."""
    network.eval()
    if indices is None:
        indices = torch.arange(len(data), device=data.device)
    loss = torch.zeros((), dtype=torch.float64, device=data.device)
    correct = torch.zeros((), dtype=torch.int64, device=data.device)
    for images, labels in feed(data, indices.split(batch_size)):
        logits = network(images)
        loss += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return Score(loss=float(loss) / len(indices), accuracy=int(correct) / len(indices))
