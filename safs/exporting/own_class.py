"""A network of the user's own class, with the names that a file's weights have, and the Python that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from safs.models.registry import build_model
from safs.plain import make_plain
from safs.tracing import unwrap


@dataclass(frozen=True)
class OwnClass:
    """How a snippet makes the network of the user's own class.

    Attributes:
        statement: what has to be imported.
        expression: makes the network.
        network: what the expression makes; its weights are those of a new network.
    """

    statement: str
    expression: str
    network: nn.Module


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
        statement, expression = f"from safs.tracing import unwrap; {statement}", f"unwrap({expression})"
    names = set(network.state_dict())
    network = make_plain(network)
    if set(network.state_dict()) != names:
        statement, expression = f"from safs.plain import make_plain; {statement}", f"make_plain({expression})"
    return OwnClass(statement, expression, network)


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
