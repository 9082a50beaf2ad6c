"""From a network to the graph of its calls, by torch.fx."""

from __future__ import annotations

import copy
from typing import Any

import torch.fx
from torch import nn
from torch.fx import Graph, Node

from spaces.errors import SafsError


def trace(model: nn.Module) -> Graph:
    """Return the graph of a network's forward pass.

    Symbolic tracing fixes whatever Python decides while it runs, `self.training` too: a call such as
    `F.dropout(x, training=self.training)` would keep the mode it was traced in. The network is therefore traced
    in both modes, and flags that differ are read from the module when it runs. A network that computes something
    else in training (auxiliary classifiers) is taken as it is in evaluation.

    Raises:
        SafsError: if the forward pass cannot be traced, with the reason.
    """
    mode = model.training
    try:
        train, evaluation = _trace(model.train()), _trace(model.eval())
    finally:
        model.train(mode)
    if len(train.nodes) == len(evaluation.nodes):
        for in_training, in_evaluation in zip(train.nodes, evaluation.nodes, strict=True):
            _join_training_flag(in_training, in_evaluation)
    return evaluation


def _trace(model: nn.Module) -> Graph:
    try:
        return torch.fx.Tracer().trace(model)
    except Exception as error:  # a forward pass may raise anything when it is given proxies
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SafsError(
            f"{type(model).__name__} cannot be traced by torch.fx ({reason}); "
            "its forward pass must not branch on the values of tensors."
        ) from error


def _join_training_flag(in_training: Node, in_evaluation: Node) -> None:
    """Replace arguments that are True in training and False in evaluation by a read of `self.training`."""

    def differs(a: Any, b: Any) -> bool:
        return a is True and b is False

    positions = [i for i, pair in enumerate(zip(in_training.args, in_evaluation.args, strict=False)) if differs(*pair)]
    names = [k for k, value in in_evaluation.kwargs.items() if differs(in_training.kwargs.get(k), value)]
    if not positions and not names:
        return
    graph = in_evaluation.graph
    with graph.inserting_before(in_evaluation):
        flag = graph.create_node("get_attr", "training")
    for position in positions:
        in_evaluation.update_arg(position, flag)
    for name in names:
        in_evaluation.update_kwarg(name, flag)


def rebuild(model: nn.Module, graph: Graph, **children: nn.Module) -> torch.fx.GraphModule:
    """Return a new network that runs `graph` and shares no tensor with `model`.

    It has every parameter, buffer and state-dict name of `model`, those that the graph does not use included,
    and `children` as further submodules.
    """
    root = copy.deepcopy(model)
    for name, child in children.items():
        root.add_module(name, child)
    network = torch.fx.GraphModule(root, graph, class_name=type(model).__name__)
    _keep_unused(root, network)
    return network.train(model.training)


def _keep_unused(root: nn.Module, network: nn.Module) -> None:
    """Put back what `GraphModule` leaves out: tensors that no node of the graph uses."""
    have = dict(network.named_parameters(remove_duplicate=False)) | dict(network.named_buffers(remove_duplicate=False))
    for path, module in root.named_modules(remove_duplicate=False):
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if (f"{path}.{name}" if path else name) in have:
                continue
            owner = _submodule(network, path)
            if isinstance(tensor, nn.Parameter):
                owner.register_parameter(name, tensor)
            else:
                owner.register_buffer(name, tensor, persistent=name not in module._non_persistent_buffers_set)


def _submodule(network: nn.Module, path: str) -> nn.Module:
    """Return the submodule at `path`, made where it is missing."""
    for part in path.split(".") if path else ():
        if not hasattr(network, part):
            network.add_module(part, nn.Module())
        network = getattr(network, part)
    return network
