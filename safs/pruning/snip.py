"""SNIP: remove the weights whose removal would change the training loss least (Lee et al. 2019)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.data.dataset import Data
from safs.data.feed import feed
from safs.masks import Mask, prunable_weights
from safs.pruning.method import Given, PruningMethod, check_count
from safs.pruning.selection import keep_globally
from spaces.errors import SafsError, brief


@dataclass(frozen=True)
class Snip(PruningMethod):
    """Score a weight by its connection sensitivity |w·∂L/∂w| (Lee et al. 2019, Equations 4 to 6), over all layers.

    L is the mean cross-entropy of training examples, as many of every class. Batch norm takes the statistics of the
    batch, as in the paper: those of a network before training say nothing. Dropout is off. The gradients are
    computed on the CPU, where they are the same again when a study is resumed.

    Attributes:
        examples_per_class: how many examples of each class the loss is taken over, or all where there are fewer.
        batch_size: the most examples that are run at once; every batch is balanced, too.
    """

    examples_per_class: int = 10
    batch_size: int = 128

    needs: ClassVar[tuple[str, ...]] = ("data",)

    def __post_init__(self) -> None:
        check_count("examples_per_class", self.examples_per_class, 1)
        check_count("batch_size", self.batch_size, 1)

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        assert given.data is not None, "a method gets what it needs"
        examples = balanced(given.data.labels, self.examples_per_class, given.seed)
        batches = examples.tensor_split(math.ceil(len(examples) / self.batch_size))
        scores = sensitivities(model, given.data, batches)
        if not any(bool(score.any()) for score in scores.values()):
            raise SafsError("The training loss depends on no weight of the network, so snip cannot rank them.")
        return keep_globally(scores, ratio)


def balanced(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Return the indices of so many random examples of every class: the first of each, then the second, and so on."""
    labels = labels.cpu()
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = labels[shuffled].argsort(stable=True)
    counts = labels.bincount()
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[shuffled][order]]
    chosen = rank < per_class
    return shuffled[order[chosen]][rank[chosen].argsort(stable=True)]


def sensitivities(model: nn.Module, data: Data, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return |w·∂L/∂w| of every prunable weight, L being the loss summed over some batches of examples.

    Raises:
        SafsError: if the network does not return one logit per class for these examples.
    """
    network = copy.deepcopy(model).cpu().eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    weights = prunable_weights(network)
    dtype = torch.promote_types(next(iter(weights.values())).dtype, torch.float32)
    network.to(dtype)
    parameters = [weight.requires_grad_() for weight in weights.values()]
    scores = [torch.zeros_like(weight) for weight in parameters]
    for batch in batches:
        loss = _loss(network, data, batch, dtype)
        for score, gradient in zip(scores, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if gradient is not None:
                score += gradient
    return {
        name: (weight.detach() * score).abs() for (name, weight), score in zip(weights.items(), scores, strict=True)
    }


def _loss(network: nn.Module, data: Data, batch: Tensor, dtype: torch.dtype) -> Tensor:
    ((images, labels),) = feed(data, [batch.to(data.device)])
    try:
        logits = network(images.cpu().to(dtype))
    except Exception as error:  # whatever a forward pass may raise for images that are not made for it
        reason = brief(error)
        raise SafsError(f"{type(network).__name__} does not take images of shape {data.shape}: {reason}") from error
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (len(batch), data.classes):
        raise SafsError(f"{type(network).__name__} must return one logit for each of the {data.classes} classes.")
    return F.cross_entropy(logits, labels.cpu(), reduction="sum")
