"""One run of a traced network on blank examples: what each call makes, whose memory it uses, and what it overwrites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.multiprocessing.reductions import StorageWeakRef

from safs.folding.calls import Calls, Shape
from spaces.activation import Activation
from spaces.errors import SafsError


def observe(network: GraphModule, input_shape: tuple[int, ...], names: Mapping[str, str]) -> Calls:
    """Run a network in evaluation on two blank examples and return its calls.

    Args:
        network: the network.
        input_shape: the shape of one example.
        names: what people call the modules of activation sites.

    Raises:
        SafsError: if it does not take input of that shape.
    """
    parameter = next(network.parameters(), torch.zeros(()))
    example = torch.zeros(2, *input_shape, dtype=parameter.dtype, device=parameter.device)
    run = _Run(network)
    try:
        with torch.no_grad():
            run.run(example)
    except Exception as error:  # whatever a forward pass may raise for input of the wrong shape
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        name = type(network).__name__
        raise SafsError(f"{name} does not take input of shape {tuple(input_shape)}: {reason}") from error
    modules = dict(network.named_modules(remove_duplicate=False))
    return Calls(network, modules, names, run.values, run.memory, run.overwritten)


class _Run(Interpreter):
    """Runs a network whose identities have lost their factors: what one makes is then what it is given."""

    def __init__(self, network: GraphModule) -> None:
        super().__init__(network)
        self.values: dict[Node, Any] = {}
        self.memory: dict[Node, frozenset[StorageWeakRef]] = {}
        self.overwritten: dict[Node, list[Node]] = {}

    def run_node(self, n: Node) -> Any:
        before = {source: _versions(self.env[source]) for source in n.all_input_nodes}
        result = super().run_node(n)
        self.overwritten[n] = [source for source, old in before.items() if _versions(self.env[source]) != old]
        self.memory[n] = frozenset(StorageWeakRef(tensor.untyped_storage()) for tensor in _tensors(result))
        self.values[n] = _noted(result)
        return result

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        if isinstance(module, Activation) and module.operator.name == "identity":
            return args[0]
        return super().call_module(target, args, kwargs)


def _versions(value: Any) -> list[int]:
    """Return how often each tensor in a value was overwritten, under whatever name."""
    return [tensor._version for tensor in _tensors(value)]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []


def _noted(value: Any) -> Any:
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, Tensor):
        return Shape(value.shape)
    if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
        return [_noted(item) for item in value]
    return value
