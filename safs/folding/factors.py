"""Factors: what multiplies a tensor, with size 1 along every dimension in which it is constant (float64)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class NotExactError(Exception):
    """A factor cannot be folded here; the message is the reason, as people are told it."""


def as_factor(value: Tensor, ndim: int, channel_dim: int) -> Tensor:
    """Return one number, or one per channel, as a factor of a tensor of `ndim` dimensions."""
    sizes = [1] * ndim
    if value.ndim:
        sizes[channel_dim % ndim] = len(value)
    return compressed(value.detach().double().reshape(sizes))


def compressed(factor: Tensor) -> Tensor:
    """Return a factor with size 1 along every dimension in which it is constant."""
    for dim in range(factor.ndim):
        first = factor.narrow(dim, 0, 1)
        if factor.shape[dim] > 1 and torch.equal(factor, first.expand_as(factor)):
            factor = first
    return factor


def check_range(factor: Tensor, dtype: torch.dtype) -> None:
    """Refuse a factor that loses accuracy, or overflows, once it is part of a weight.

    Its size must lie between the cube roots of the smallest and the largest number of the network's type (2e-13 to
    7e12 in float32), which leaves room for its product with a weight and an input of that order.
    """
    info = torch.finfo(dtype)
    low, high = info.tiny ** (1 / 3), info.max ** (1 / 3)
    size = factor.abs()
    if not bool(((size >= low) & (size <= high)).all()):
        worst = float(factor.flatten()[torch.where((size >= low) & (size <= high), 0, 1).flatten().argmax()])
        raise NotExactError(f"its value {worst:g} does not lie between {low:.0e} and {high:.0e} in size")


def moved(move: Callable[[Tensor], Tensor], factor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the factor of what a call makes that only moves the elements of a tensor of this shape."""
    return compressed(move(factor.expand(shape).contiguous()))


def moved_back(
    move: Callable[[Tensor], Tensor], factor: Tensor, shape: tuple[int, ...], out: tuple[int, ...]
) -> Tensor:
    """Return the factor, of a tensor of this shape, that a call which only moves elements turns into `factor`.

    Raises:
        NotExactError: if there is none, because the call repeats an element under two factors.
    """
    wanted = factor.expand(out)
    count = torch.Size(shape).numel()
    positions = move(torch.arange(count, device=factor.device).reshape(shape))
    source = torch.ones(count, dtype=factor.dtype, device=factor.device)
    source[positions.flatten()] = wanted.flatten()
    source = source.reshape(shape)
    if not torch.equal(move(source), wanted):
        raise NotExactError("its input repeats a number under different factors")
    return compressed(source)


def joined(factors: list[Tensor], shapes: list[tuple[int, ...]], dim: int) -> Tensor:
    """Return the factor of a concatenation of tensors of these shapes."""
    others = torch.broadcast_shapes(*[[*f.shape[:dim], 1, *f.shape[dim + 1 :]] for f in factors])
    parts = [
        factor.expand(*others[:dim], shape[dim], *others[dim + 1 :])
        for factor, shape in zip(factors, shapes, strict=True)
    ]
    return compressed(torch.cat(parts, dim))


def parted(factor: Tensor, shapes: list[tuple[int, ...]], dim: int) -> list[Tensor]:
    """Return the factor of each part of a concatenation of tensors of these shapes."""
    sizes = [shape[dim] for shape in shapes]
    whole = factor.expand(*factor.shape[:dim], sum(sizes), *factor.shape[dim + 1 :])
    return [compressed(part) for part in whole.split(sizes, dim)]
