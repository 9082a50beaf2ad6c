"""Whether folding changed nothing, and a written file is what was to be exported: same outputs, weights and zeros."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safs.exporting.base import ReadBack, Source
from safs.masks import violations
from safs.surgery import ACTIVATIONS
from spaces.errors import SafsError

BATCHES = (1, 3)
"""How many examples are compared at once; networks are traced with two."""
TOLERANCE = 1e-3
"""The largest difference of a file from the original, as a share of its largest output; rounding makes about 1e-6."""
FOLDING_TOLERANCE = 1e-5
"""The largest difference that folding makes, likewise; in double precision rounded weights alone make about 1e-7."""


@dataclass(frozen=True)
class Difference:
    """How far the outputs of a file are from the original network's on random input.

    Attributes:
        largest: the largest absolute difference.
        scale: the largest absolute output of the original.
    """

    largest: float = 0.0
    scale: float = 0.0

    def with_outputs(self, expected: Tensor, got: Tensor) -> Difference:
        """Return the difference over one more batch of outputs."""
        same = (got == expected) | (got.isnan() & expected.isnan())  # an infinity less itself is NaN
        apart = torch.where(same, 0.0, got - expected).abs().nan_to_num(nan=torch.inf)
        finite = torch.where(expected.isfinite(), expected, torch.zeros_like(expected))
        return Difference(max(self.largest, float(apart.max())), max(self.scale, float(finite.abs().max())))

    def within(self, tolerance: float) -> bool:
        """Return whether it is at most this share of the largest output."""
        return self.largest <= tolerance * self.scale

    def __str__(self) -> str:
        return f"outputs differ by {self.largest:.1e} where the network's reach {self.scale:.1e}"


def check_folding(original: nn.Module, folded: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Check, in double precision, that a folded network computes what the original does.

    One that only computes in its own precision, because its forward pass makes tensors of that, is compared by the
    written file alone.

    Raises:
        SafsError: if outputs differ by more than `FOLDING_TOLERANCE`.
    """
    batches = list(_batches(original, input_shape))
    try:
        expected = _in_double(original, batches)
    except RuntimeError:  # what PyTorch raises for operands of two types
        return
    difference = Difference()
    for one, other in zip(expected, _in_double(folded, batches), strict=True):
        difference = difference.with_outputs(one, other)
    if not difference.within(FOLDING_TOLERANCE):
        raise SafsError(f"Folding changes what the network computes: {difference}. Export it with --no-fold.")


def _in_double(network: nn.Module, batches: list[Tensor]) -> list[Tensor]:
    wide = copy.deepcopy(network).double()
    with torch.no_grad():
        return [wide(x.to(torch.float64, copy=True)) for x in batches]  # a network may overwrite its input


def _batches(network: nn.Module, input_shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Yield standard normal input of the same seed each time, in batches of several sizes."""
    parameter = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    for size in BATCHES:
        yield torch.randn(size, *input_shape, generator=generator).to(parameter)


def compare(original: nn.Module, read: ReadBack, input_shape: tuple[int, ...]) -> Difference:
    """Return the difference of a file's outputs from the original's over random input.

    Raises:
        SafsError: if it is more than rounding, or a batch does not run.
    """
    difference = Difference()
    for x in _batches(original, input_shape):
        with torch.no_grad():
            expected, got = original(x.clone()), _run(read, x)  # which the original may overwrite
        if got.shape != expected.shape:
            shapes = f"{tuple(got.shape)} where the network returns {tuple(expected.shape)}"
            raise SafsError(f"The written file returns outputs of shape {shapes}; it was removed.")
        difference = difference.with_outputs(expected, got)
        if not difference.within(TOLERANCE):
            raise SafsError(
                f"The written file computes something else: {difference}; it was removed. Try --no-fold, or another "
                "--format."
            )
    return difference


def _run(read: ReadBack, x: Tensor) -> Tensor:
    try:
        return read.run(x).to(x)
    except Exception as error:  # each format has errors of its own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SafsError(f"The written file does not run on a batch of {len(x)} ({reason}); it was removed.") from error


def check_weights(source: Source, read: ReadBack) -> None:
    """Check that a file holds all weights of the network's own class bit by bit, and that masked ones are zero.

    Raises:
        SafsError: if not, naming the first weight.
    """
    state = source.network.state_dict()
    for name, tensor in source.own.network.state_dict().items():
        if tensor.is_floating_point() and name not in read.weights:
            raise SafsError(f"The written file has lost the weight {name!r}; it was removed. Try another --format.")
    for name, tensor in read.weights.items():
        if not torch.equal(tensor.cpu(), state[name].cpu()):
            raise SafsError(f"The written file holds other values of {name!r} than the network.")
    broken = violations(read.weights, source.best.mask)
    if broken:
        raise SafsError(f"The written file holds masked weights of {broken[0]!r} that are not zero.")


def check_loads(source: Source, read: ReadBack) -> None:
    """Load a file's weights into a new network of the user's own class, as the printed snippet does.

    Raises:
        SafsError: if their names or shapes are not that one's.
    """
    state = source.own.network.state_dict()
    counters = {name: tensor for name, tensor in state.items() if not tensor.is_floating_point()}
    weights = {name: tensor for name, tensor in read.weights.items() if not name.startswith(f"{ACTIVATIONS}.")}
    try:
        source.own.load(counters | weights)  # an ONNX file has no counters that its graph does not read
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 300)
        raise SafsError(f"The written file does not load into {source.name}; it was removed: {reason}") from error
