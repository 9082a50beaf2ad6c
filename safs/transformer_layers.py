"""PyTorch's own transformer layers: the activation function that they hold becomes a module that can be swapped.

Without gradients, in evaluation, they run as one fused kernel with ReLU or GELU built in, which `replaced` turns off.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_MODULES = {F.relu: nn.ReLU, F.gelu: nn.GELU}


def with_activation_modules(model: nn.Module) -> nn.Module:
    """Replace the activation function of every transformer layer by its module, in place, and return the network."""
    for layer in model.modules():
        if isinstance(layer, _LAYERS) and layer.activation in _MODULES:
            made = _MODULES[layer.activation]().train(layer.training)
            del layer.activation
            layer.activation = made
    return model


def replaced(layer: nn.Module) -> None:
    """Let a layer whose activation was replaced run its own code, not the fused kernel, which would ignore it."""
    if isinstance(layer, nn.TransformerEncoderLayer):
        layer.activation_relu_or_gelu = 0
