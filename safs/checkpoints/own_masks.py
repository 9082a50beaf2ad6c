"""Masks that a network itself keeps as buffers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize


def buffer_masks(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the masks among the buffers of a network: `weight_mask` is that of `weight`.

    Args:
        state: the values of the network's tensors, by state-dict name.
        model: the network, whose forward pass multiplies each weight with its mask.
    """
    weights = dict(model.named_parameters(remove_duplicate=False))
    found = {}
    for name, tensor in state.items():
        weight = weights.get(name.removesuffix("_mask")) if name.endswith("_mask") else None
        if weight is not None and name not in weights and _is_mask_of(tensor, weight):
            found[name.removesuffix("_mask")] = tensor
    return found


def parametrization_masks(model: nn.Module) -> dict[str, Tensor]:
    """Return the masks among the buffers of a network's parametrizations, by the names of the weights they compute.

    Such a buffer has "mask" in its name, and the weight is zero wherever it is.
    """
    found = {}
    for path, module in model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for name, steps in module.parametrizations.items():
            weight = getattr(module, name).detach()
            for buffer, tensor in steps.named_buffers():
                named = "mask" in buffer.rpartition(".")[2]
                if named and _is_mask_of(tensor, weight) and not bool((weight[tensor == 0] != 0).any()):
                    found[f"{path}.{name}" if path else name] = tensor.detach().clone()
    return found


def _is_mask_of(tensor: Tensor, weight: Tensor) -> bool:
    return tensor.shape == weight.shape and bool(((tensor == 0) | (tensor == 1)).all())
