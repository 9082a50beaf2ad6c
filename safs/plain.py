"""Networks whose weights are computed from others, made plain: each weight a parameter that can be pruned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from spaces.errors import SafsError, brief

_REMOVERS: dict[type, tuple[str, Callable[[nn.Module, str], Any]]] = {
    prune.BasePruningMethod: ("_tensor_name", prune.remove),
    WeightNorm: ("name", remove_weight_norm),
    SpectralNorm: ("name", remove_spectral_norm),
}
"""The hooks by which PyTorch computes a weight before each call: where they keep its name, and what removes them."""


def parametrized_names(model: nn.Module) -> list[str]:
    """Return the state-dict names under which a network keeps what it computes its weights from."""
    return [
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if parametrize.is_parametrized(module)
        for name in module.state_dict()
        if name.startswith("parametrizations.")
    ]


def make_plain(model: nn.Module) -> nn.Module:
    """Replace every computed weight of a network by its value in evaluation, in place, and return the network.

    These are weights with a parametrization (`torch.nn.utils.parametrize`), under `torch.nn.utils.prune`, or under the
    old `weight_norm` and `spectral_norm`. A weight that several layers compute from the same parts is theirs alone
    afterwards.

    Raises:
        SafsError: if a parametrization cannot compute its weight.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()  # spectral norms change in training whenever they are read
    for path, module in list(model.named_modules()):
        try:
            _remove_parametrizations(module)
            _remove_hooks(module)
        except Exception as error:  # a parametrization is the user's own code
            reason = brief(error)
            raise SafsError(
                f"{type(model).__name__}: the computed weights of {path or 'the network'!r} cannot be made plain "
                f"({reason}); call torch.nn.utils.parametrize.remove_parametrizations on it in the factory."
            ) from error
    for module, training in modes.items():
        module.training = training
    return model


def _remove_parametrizations(module: nn.Module) -> None:
    if parametrize.is_parametrized(module):
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _remove_hooks(module: nn.Module) -> None:
    for hook in list(module._forward_pre_hooks.values()):
        for kind, (attribute, remove) in _REMOVERS.items():
            if isinstance(hook, kind):
                with torch.no_grad():
                    remove(module, getattr(hook, attribute))
    for key, loading in list(module._load_state_dict_pre_hooks.items()):
        if isinstance(getattr(loading, "hook", None), SpectralNormLoadStateDictPreHook):
            del module._load_state_dict_pre_hooks[key]  # `remove_spectral_norm` leaves it
