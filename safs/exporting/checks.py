"""Whether a written file is what was to be exported: the same outputs, the same weights, the same zeros."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safs.exporting.base import ReadBack, Source
from safs.masks import violations
from spaces.errors import SafsError

BATCHES = (1, 3)
"""How many examples are compared at once; networks are traced with two."""
TOLERANCE = 1e-3
"""The largest difference from the original, as a share of its largest output; rounding alone makes about 1e-6."""


@dataclass(frozen=True)
class Difference:
    """How far the outputs of a file are from the original network's on random input.

    Attributes:
        largest: the largest absolute difference.
        scale: the largest absolute output of the original.
    """

    largest: float
    scale: float


def compare(original: nn.Module, read: ReadBack, input_shape: tuple[int, ...]) -> Difference:
    """Return the difference over standard normal input, of the same seed each time, in batches of several sizes.

    Raises:
        SafsError: if it is more than rounding, or a batch does not run.
    """
    parameter = next(original.parameters())
    generator = torch.Generator().manual_seed(0)
    largest = scale = 0.0
    for size in BATCHES:
        x = torch.randn(size, *input_shape, generator=generator).to(parameter)
        with torch.no_grad():
            expected, got = original(x), _run(read, x)
        if got.shape != expected.shape:
            shapes = f"{tuple(got.shape)} where the network returns {tuple(expected.shape)}"
            raise SafsError(f"The written file returns outputs of shape {shapes}; it was removed.")
        same = (got == expected) | (got.isnan() & expected.isnan())  # an infinity less itself is NaN
        apart = torch.where(same, 0.0, got - expected).abs().nan_to_num(nan=torch.inf)
        largest = max(largest, float(apart.max()))
        finite = torch.where(expected.isfinite(), expected, torch.zeros_like(expected))
        scale = max(scale, float(finite.abs().max()))
        if not largest <= TOLERANCE * scale:
            raise SafsError(
                f"The written file computes something else: outputs differ by {largest:.1e} where the network's reach "
                f"{scale:.1e}; it was removed. Try --no-fold, or another --format."
            )
    return Difference(largest, scale)


def _run(read: ReadBack, x: Tensor) -> Tensor:
    try:
        return read.run(x).to(x)
    except Exception as error:  # each format has errors of its own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SafsError(f"The written file does not run on a batch of {len(x)} ({reason}); it was removed.") from error


def check_weights(source: Source, read: ReadBack) -> None:
    """Check that a file holds the network's weights bit by bit, and that masked ones are zero.

    Raises:
        SafsError: if not, naming the first weight.
    """
    state = source.network.state_dict()
    for name in source.best.mask:
        if name not in read.weights:
            raise SafsError(f"The written file has lost the weight {name!r}, so its mask cannot be checked.")
    for name, tensor in read.weights.items():
        if not torch.equal(tensor.cpu(), state[name].cpu()):
            raise SafsError(f"The written file holds other values of {name!r} than the network.")
    broken = violations(read.weights, source.best.mask)
    if broken:
        raise SafsError(f"The written file holds masked weights of {broken[0]!r} that are not zero.")
