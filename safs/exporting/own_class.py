"""A network of the user's own class, with the names that a file's weights have, and the Python that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from safs.models.registry import build_model
from safs.plain import make_plain
from safs.state import load_state
from safs.wrappers import unwrap


@dataclass(frozen=True)
class OwnClass:
    """How a snippet makes the network of the user's own class.

    Attributes:
        statement: what has to be imported.
        expression: makes the network.
        network: what the expression makes; its weights are those of a new network.
        versioned: whether it takes a state dict only with the version that PyTorch keeps beside one (MNASNet).
    """

    statement: str
    expression: str
    network: nn.Module
    versioned: bool = False

    def loading(self, weights: str) -> str:
        """Return the Python that loads the weights which an expression makes into `model`."""
        return f"load_state(model, {weights})" if self.versioned else f"model.load_state_dict({weights})"

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights into `network` as that Python does; RuntimeError if their names or shapes are others."""
        if self.versioned:
            load_state(self.network, weights)
        else:
            self.network.load_state_dict(weights)


def own_class(name: str, kwargs: Mapping[str, Any], *, seed: int) -> OwnClass:
    """Return the network called `name`, taken out of what wraps it and with plain weights, and how to make it so.

    Args:
        name, kwargs, seed: as for `safs.models.registry.make_model`.

    Raises:
        SafsError: as `make_model` and `make_plain` do.
    """
    statement, expression = making(name, kwargs)
    made = build_model(name, kwargs, seed=seed)
    network = unwrap(made)
    if network is not made:
        statement, expression = f"from safs.wrappers import unwrap; {statement}", f"unwrap({expression})"
    names = set(network.state_dict())
    network = make_plain(network)
    if set(network.state_dict()) != names:
        statement, expression = f"from safs.plain import make_plain; {statement}", f"make_plain({expression})"
    versioned = not _takes_any_version(network)
    if versioned:
        statement = f"from safs.state import load_state; {statement}"
    return OwnClass(statement, expression, network, versioned)


def _takes_any_version(network: nn.Module) -> bool:
    """Return whether a network takes its own state dict without the version of that."""
    try:
        network.load_state_dict(dict(network.state_dict()))
    except (RuntimeError, ValueError):
        return False
    return True


def making(name: str, kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """Return an import statement and an expression that make the network called `name`, as its factory returns it.

    Args:
        name: as in `model.name` of a config.
        kwargs: the arguments of its factory.
    """
    given = f"**{dict(kwargs)!r}" if kwargs else ""
    source, _, builder = name.partition("/")
    if source == "torchvision":
        return "import torchvision", f"torchvision.models.get_model({_arguments(builder, given)})"
    if source == "timm":
        return "import timm", f"timm.create_model({_arguments(builder, given)})"
    if ":" in name:
        module, factory = name.split(":", 1)
        return f"from {module} import {factory}", f"{factory}({given})"
    arguments = f"{name!r}, {dict(kwargs)!r}" if kwargs else repr(name)
    return "from safs.models.registry import make_model", f"make_model({arguments}, seed=0)"


def _arguments(name: str, given: str) -> str:
    return f"{name!r}, {given}" if given else repr(name)
