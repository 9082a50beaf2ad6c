"""Notes the activation calls of a forward pass by watching it run, independently of how SAFS finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

OPERATORS = {
    "relu": "relu", "relu6": "relu6", "leakyrelu": "leaky_relu", "prelu": "prelu", "rrelu": "rrelu", "elu": "elu",
    "celu": "celu", "selu": "selu", "gelu": "gelu", "gelutanh": "gelu_tanh", "quickgelu": "quick_gelu",
    "silu": "swish", "swish": "swish", "mish": "mish", "hardmish": "hard_mish", "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid", "hardtanh": "hardtanh", "sigmoid": "sigmoid", "logsigmoid": "logsigmoid",
    "tanh": "tanh", "tanhshrink": "tanhshrink", "softplus": "softplus", "softsign": "softsign",
    "softshrink": "softshrink", "hardshrink": "hardshrink", "threshold": "threshold", "glu": "glu", "erf": "erf",
}  # fmt: skip
"""Activation functions and modules, in lower case and without underscores, with SAFS's names for them.

A GELU that is written out calls erf. A clamp is none here: where a network clamps for a ReLU, that shows as a
difference.
"""
_PACKAGES = ("torch.nn.modules.", "timm.layers.activations")


def activation_calls(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Return the activation functions that a forward pass in evaluation calls: modules, functions and methods.

    Each is a name, the path of the module or of the caller with the function's name, and an operator. What an
    activation module calls itself is one with it. The network is left as it was.
    """
    recorder = _Recorder()
    handles = []
    for path, module in network.named_modules():
        operator = _operator(module)
        handles += [
            module.register_forward_pre_hook(recorder.entering(path, operator)),
            module.register_forward_hook(recorder.leaving(operator), always_call=True),
        ]
    try:
        with torch.no_grad(), recorder:
            network.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.calls


def _operator(module: nn.Module) -> str | None:
    """Return the operator of an activation module, by the name of its class or of one that it derives from."""
    classes = type(module).__mro__
    if not any(one.__module__.startswith(_PACKAGES) for one in classes):
        return None
    names = (one.__name__.lower().removesuffix("me") for one in classes)  # timm's SwishMe saves memory
    return next((OPERATORS[name] for name in names if name in OPERATORS), None)


class _Recorder(TorchFunctionMode):
    """Notes calls of activation functions, each module's as one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self._running: list[str] = []
        self._inside = 0

    def entering(self, path: str, operator: str | None) -> Callable[..., None]:
        """Return the hook before a module's call."""

        def hook(module: nn.Module, args: Any) -> None:
            if operator is not None and not self._inside:
                self.calls.append((path, operator))
            self._inside += operator is not None
            self._running.append(path)

        return hook

    def leaving(self, operator: str | None) -> Callable[..., None]:
        """Return the hook after a module's call."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._inside -= operator is not None
            self._running.pop()

        return hook

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        operator = OPERATORS.get(name.replace("_", "")) if not name.startswith("__") else None
        if operator is not None and not self._inside:
            self.calls.append((f"{self._running[-1]}.{name}".lstrip("."), operator))
        return func(*args, **(kwargs or {}))
