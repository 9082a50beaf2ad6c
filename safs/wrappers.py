"""What is put around a network, or a part of it, to run it on several devices or compiled."""

from __future__ import annotations

from typing import Any

from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`, `nn.DataParallel` and `DistributedDataParallel`, in any order."""
    name = _name_within(model)
    return model if name is None else unwrap(getattr(model, name))


def with_plain_wrappers(model: nn.Module) -> nn.Module:
    """Let every wrapper within a network only pass its calls on, in place, and return the network.

    All names stay. torch.fx sees through what takes a wrapper's place, and it runs on the device that its tensors are
    on.
    """
    plain: dict[nn.Module, nn.Module] = {}
    for owner in list(model.modules()):
        for name, child in list(owner._modules.items()):
            if child is not None and _name_within(child) is not None:
                owner._modules[name] = plain.setdefault(child, _plain(child))
    return model


class PlainWrapper(nn.Module):
    """Calls the module that it holds, under the name that a wrapper had for it."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module does."""
        (module,) = self.children()
        return module(*args, **kwargs)


def _plain(module: nn.Module) -> nn.Module:
    """Return a module with all wrappers around it replaced."""
    name = _name_within(module)
    if name is None:
        return module
    plain = PlainWrapper(name, _plain(getattr(module, name)))
    plain.training = module.training  # and not by `train`, which sets what is within, too
    return plain


def _name_within(module: nn.Module) -> str | None:
    """Return the name that a wrapper has for what it wraps, or None if a module is no wrapper."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return "module"
    compiled = isinstance(getattr(module, "_orig_mod", None), nn.Module)  # an import of the compiler takes seconds
    return "_orig_mod" if compiled and not isinstance(module, PlainWrapper) else None
