"""Counts the activation calls of a forward pass by watching it run, independently of how SAFS finds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NAMES = {
    "relu", "relu6", "leakyrelu", "prelu", "elu", "celu", "selu", "gelu", "gelutanh", "quickgelu", "silu", "swish",
    "mish", "hardmish", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "logsigmoid", "tanh", "tanhshrink",
    "softplus", "softsign", "glu",
}  # fmt: skip
"""Activation functions and modules, in lower case and without underscores."""
_PACKAGES = ("torch.nn.modules.", "timm.layers.activations")


def count_activation_calls(network: nn.Module, example: Tensor) -> int:
    """Return how many activation functions a forward pass in evaluation calls: modules, functions and methods.

    What an activation module calls itself counts as one with it. The network is left as it was.
    """
    counter = _Counter()
    handles = []
    for module in network.modules():
        if _is_activation(module):
            handles += [
                module.register_forward_pre_hook(counter.enter),
                module.register_forward_hook(counter.leave, always_call=True),
            ]
    try:
        with torch.no_grad(), counter:
            network.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
    return counter.calls


def _is_activation(module: nn.Module) -> bool:
    known = any(base.__name__.lower() in NAMES for base in type(module).__mro__)
    return known and any(base.__module__.startswith(_PACKAGES) for base in type(module).__mro__)


class _Counter(TorchFunctionMode):
    """Counts calls of activation functions, each module's as one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self._inside = 0

    def enter(self, module: nn.Module, args: Any) -> None:
        self.calls += self._inside == 0
        self._inside += 1

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._inside -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not self._inside and not name.startswith("__") and name.replace("_", "") in NAMES:
            self.calls += 1
        return func(*args, **(kwargs or {}))
