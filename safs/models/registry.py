"""Build a network by name: one of ours, `torchvision/NAME`, `timm/NAME`, or `package.module:factory`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from safs.factories import find_factory, users_code
from safs.models.efficientnet import EfficientNetB0
from safs.models.lenet import LeNet5
from safs.models.resnet import ResNet18, ResNet20
from safs.models.timm_models import timm_builder, timm_input_shape
from safs.models.vgg import VGG16
from safs.wrappers import unwrap, with_plain_wrappers
from spaces.errors import SafsError, UnknownNameError, lookup

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "vgg16-cifar": VGG16,
    "resnet18-cifar": ResNet18,
    "resnet20-cifar": ResNet20,
    "efficientnet-b0-small": EfficientNetB0,
}


_INPUT_SHAPES = {
    "lenet5": (1, 28, 28),
    "vgg16-cifar": (3, 32, 32),
    "resnet18-cifar": (3, 32, 32),
    "resnet20-cifar": (3, 32, 32),
    "efficientnet-b0-small": (3, 16, 16),
}


def usual_input_shape(name: str, kwargs: Mapping[str, Any] = {}) -> tuple[int, ...] | None:
    """Return the shape of one example that the network `name` is made for, or None if only its author knows.

    Args:
        name, kwargs: As those of `make_model`; the image size and channels that torchvision and timm take count.
    """
    if name.startswith("torchvision/"):
        size = kwargs.get("image_size", 299 if name == "torchvision/inception_v3" else 224)
        return 3, size, size
    if name.startswith("timm/"):
        shape = timm_input_shape(name.removeprefix("timm/"))
        size, channels = kwargs.get("img_size"), kwargs.get("in_chans")
        sizes = (size, size) if isinstance(size, int) else tuple(size or (shape or ())[1:])
        return (channels or (shape or (3,))[0], *sizes) if sizes else None
    return _INPUT_SHAPES.get(name)


def make_model(name: str, kwargs: Mapping[str, Any] = {}, *, seed: int) -> nn.Module:
    """Return the network `name` on the CPU, its initial weights drawn from `seed` alone.

    The global random state of torch is as before afterwards, and that of CUDA is not touched.

    Args:
        name: A key of `MODELS`, `torchvision/NAME` or `timm/NAME` (without pretrained weights), or
            `package.module:factory`, which is also looked for in the current directory. A network that a factory has
            compiled or made data-parallel is taken out of that; of a part that is, only the names stay.
        kwargs: Passed to the factory, whatever they are called.
        seed: Seeds the initialisation.

    Raises:
        SafsError: if the name is unknown, or its factory cannot be imported, fails, or returns no `nn.Module`.
    """
    model = with_plain_wrappers(unwrap(build_model(name, kwargs, seed=seed)))
    on_meta = any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    return model if on_meta else model.cpu()  # `nn.DataParallel` takes what it is given to a GPU


def build_model(name: str, kwargs: Mapping[str, Any] = {}, *, seed: int) -> nn.Module:
    """Return what `make_model` does, as its factory returns it: compiled or data-parallel if that makes it so."""
    factory = _find(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA too
        with users_code(f"Model {name!r} could not be built"):
            model = factory(**kwargs)
    if not isinstance(model, nn.Module):
        raise SafsError(f"Model {name!r} must be an nn.Module, but its factory returned {type(model).__name__}.")
    return model


def _find(name: str) -> Callable[..., Any]:
    if name in MODELS:
        return MODELS[name]
    if name.startswith("torchvision/"):
        return _from_torchvision(name.removeprefix("torchvision/"))
    if name.startswith("timm/"):
        return timm_builder(name.removeprefix("timm/"))
    if ":" in name:
        return find_factory("Model", name)
    raise _unknown(name)


def _unknown(name: str) -> SafsError:
    """Return the error for a name that is none of ours; the start of one of torchvision's was meant for that."""
    from torchvision import models

    error = UnknownNameError("model", name, [*MODELS, "torchvision/NAME", "timm/NAME", "package.module:factory"])
    meant = [known for known in models.list_models(module=models) if name and known.startswith(name)]
    if not meant:
        return error
    nearest = min(meant, key=lambda known: (len(known), known))
    choices = ", ".join(error.choices)
    return SafsError(f"Unknown model {name!r}. Did you mean 'torchvision/{nearest}'? Choices: {choices}.")


def _from_torchvision(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    known = {known: known for known in models.list_models(module=models)}
    chosen = lookup("torchvision model", name, known)

    def build(**kwargs: Any) -> nn.Module:
        model: nn.Module = models.get_model_builder(chosen)(weights=None, **kwargs)
        return model

    return build
