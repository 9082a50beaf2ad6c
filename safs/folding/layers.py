"""What a layer's parameters become when its input, or its output, is multiplied by a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import Node

from safs.folding.factors import NotExactError

Side = Literal["input", "output"]

# Exact types: a subclass may compute something else from the same weight (weight standardisation, say).
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CHANNEL_NORMS = (*_BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)
_TRAILING_NORMS = (nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True, eq=False)
class Edit:
    """A tensor of a layer that has to be multiplied, element by element, for one call of the layer.

    Attributes:
        node: the call.
        side: which side of the call the factor was at.
        tensor: a parameter or buffer of the network.
        scale: what multiplies it, in a shape that broadcasts to the tensor's.
    """

    node: Node
    side: Side
    tensor: Tensor
    scale: Tensor


def scale_output(node: Node, module: nn.Module, factor: Tensor) -> list[Edit]:
    """Return the edits after which a layer's output is `factor` times what it was.

    Raises:
        NotExactError: if no change of its parameters does that.
    """
    kind = type(module)
    _check_own(node, module)
    if kind is nn.Linear or kind in _CONVOLUTIONS or kind in _TRANSPOSED:
        channels = _per_channel(node, factor, _channel_dim(module, factor))
        weight = _input_scale(module, channels) if kind in _TRANSPOSED else _first_dim(module, channels)
        scales = {"weight": weight, "bias": channels}
    elif kind in _CHANNEL_NORMS:
        _check_affine(node, module)
        channels = _per_channel(node, factor, 1)
        scales = {"weight": channels, "bias": channels}
    elif kind in _TRAILING_NORMS:
        _check_affine(node, module)
        depth = module.get_parameter("weight").ndim
        if torch.Size(factor.shape[:-depth]).numel() != 1:
            raise NotExactError(f"it differs within what {node.target} scales by one number")
        trailing = factor.reshape(factor.shape[-depth:])
        scales = {"weight": trailing, "bias": trailing}
    else:
        raise NotExactError(f"its input comes from {_label(node, module)}, which has no weights to take it")
    return _edits(node, module, "output", scales)


def scale_input(node: Node, module: nn.Module, factor: Tensor) -> list[Edit]:
    """Return the edits after which a layer computes from x what it computed from `factor` times x before.

    A batch norm does so in evaluation, where its statistics are fixed.

    Raises:
        NotExactError: if no change of its parameters does that.
    """
    kind = type(module)
    _check_own(node, module)
    if kind is nn.Linear or kind in _CONVOLUTIONS or kind in _TRANSPOSED:
        channels = _per_channel(node, factor, _channel_dim(module, factor))
        in_first = kind in _TRANSPOSED
        weight = _first_dim(module, channels) if in_first else _input_scale(module, channels)
        scales = {"weight": weight}
    elif kind in _BATCH_NORMS:
        _check_affine(node, module)
        if module.running_mean is None:
            raise NotExactError(f"{node.target} normalises by the statistics of each batch")
        channels = _per_channel(node, factor, 1)
        scales = {"weight": channels, "running_mean": 1 / channels}
    else:
        raise NotExactError(f"its output enters {_label(node, module)}, which cannot take it")
    return _edits(node, module, "input", scales)


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is of a type whose parameters can take a factor on either side."""
    convolving = (*_CONVOLUTIONS, *_TRANSPOSED)
    return type(module) in (nn.Linear, *convolving, *_CHANNEL_NORMS, *_TRAILING_NORMS)


def _label(node: Node, module: nn.Module) -> str:
    return f"{node.target} ({type(module).__name__})"


def _check_own(node: Node, module: nn.Module) -> None:
    """Refuse a layer that does not simply compute with its own parameters."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise NotExactError(f"{node.target} has forward hooks, whose effect is not known")


def _check_affine(node: Node, module: nn.Module) -> None:
    if module.weight is None:
        raise NotExactError(f"{_label(node, module)} has no weight")


def _channel_dim(module: nn.Module, factor: Tensor) -> int:
    kernel: tuple[int, ...] = getattr(module, "kernel_size", ())
    return factor.ndim - len(kernel) - 1


def _per_channel(node: Node, factor: Tensor, dim: int) -> Tensor:
    """Return a factor as a vector: one number, or one for each channel."""
    if factor.numel() != factor.shape[dim]:
        raise NotExactError(f"it differs within one channel of {node.target}")
    return factor.flatten()


def _first_dim(module: nn.Module, channels: Tensor) -> Tensor:
    """Return the scale of a weight whose first dimension are the channels."""
    return channels.reshape(-1, *[1] * (module.get_parameter("weight").ndim - 1))


def _input_scale(module: nn.Module, channels: Tensor) -> Tensor:
    """Return the scale of a weight whose second dimension are the channels within a group.

    These are the inputs of a linear layer or convolution, (out, in/groups, ...), and the outputs of a transposed
    one, (in, out/groups, ...).
    """
    shape = module.get_parameter("weight").shape
    ones = [1] * (len(shape) - 2)
    if len(channels) == 1:
        return channels.reshape(1, 1, *ones)
    groups: int = getattr(module, "groups", 1)
    first, within = shape[:2]
    spread = channels.reshape(groups, 1, within).expand(groups, first // groups, within)
    return spread.reshape(first, within, *ones)


def _edits(node: Node, module: nn.Module, side: Side, scales: dict[str, Tensor]) -> list[Edit]:
    tensors: dict[str, Tensor | None] = {**module._parameters, **module._buffers}
    return [
        Edit(node, side, tensor, scale) for name, scale in scales.items() if (tensor := tensors.get(name)) is not None
    ]
