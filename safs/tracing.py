"""From a network to the graph of its calls, by torch.fx."""

from __future__ import annotations

import copy
import difflib
from typing import Any

import torch.fx
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.proxy import TraceError

from spaces.errors import SafsError

_FLAG = "safs_training"
"""The name of the submodule that tells a call whether the module that makes it is in training."""
_CONSTANT = "safs_constant"
"""The entry of a node's `meta` that holds a tensor which the forward pass makes itself."""


class TrainingFlag(nn.Module):
    """Returns whether it is in training, which it always is with the module that it stands in.

    A module and not a read of `self.training`, which a network that is pickled and read back would fix.
    """

    def forward(self) -> bool:
        """Return the mode."""
        return self.training


def trace(model: nn.Module) -> Graph:
    """Return the graph of a network's forward pass; the network is not changed.

    Symbolic tracing fixes whatever Python decides while it runs, `self.training` too: a call such as
    `F.dropout(x, training=self.training)` would keep the mode it was traced in. The network is therefore traced
    in both modes, and flags that differ are read from the module when it runs. A network that computes something
    else in training (auxiliary classifiers) is taken as it is in evaluation.

    Raises:
        SafsError: if the forward pass cannot be traced, with the reason, or a module holds a computed tensor.
    """
    check_tensors(model)
    # Tracing switches the mode and leaves constants on the module: a copy, with the same tensors, takes both.
    tensors = (*model.parameters(), *model.buffers())
    copied = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    train, evaluation = _trace(copied.train()), _trace(copied.eval())
    before, after = list(train.nodes), list(evaluation.nodes)
    for a, b, size in difflib.SequenceMatcher(
        a=[_key(node) for node in before], b=[_key(node) for node in after], autojunk=False
    ).get_matching_blocks():
        for in_training, in_evaluation in zip(before[a : a + size], after[b : b + size], strict=True):
            _join_training_flag(in_training, in_evaluation)
    for node in evaluation.nodes:
        if node.op == "get_attr" and not hasattr(model, str(node.target)) and hasattr(copied, str(node.target)):
            node.meta[_CONSTANT] = getattr(copied, str(node.target))
    return evaluation


def check_tensors(model: nn.Module) -> None:
    """Refuse a network that holds tensors computed from others, which cannot be copied.

    Raises:
        SafsError: if a module does, naming it: after `nn.utils.prune`, say, or the old `nn.utils.weight_norm`.
    """
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                full_name = f"{path}.{name}" if path else name
                raise SafsError(
                    f"{type(model).__name__} holds {full_name!r}, a tensor computed from "
                    "others, which cannot be copied; call torch.nn.utils.prune.remove or "
                    "torch.nn.utils.remove_weight_norm (or remove_spectral_norm) on its module first."
                )


def caller(node: Node) -> str:
    """Return the path of the module that makes a call, empty for the network itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _trace(model: nn.Module) -> Graph:
    try:
        return torch.fx.Tracer().trace(model)
    except Exception as error:  # a forward pass may raise anything when it is given proxies
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = (
            "its forward pass must not branch on the values of tensors."
            if isinstance(error, TraceError)
            else "it runs the forward pass on stand-ins for tensors and their sizes, which this call does not take."
        )
        raise SafsError(f"{type(model).__name__} cannot be traced by torch.fx ({reason}); {remedy}") from error


def _key(node: Node) -> tuple[str, str, str]:
    return node.op, str(node.target), caller(node)


def _join_training_flag(in_training: Node, in_evaluation: Node) -> None:
    """Replace arguments that are True in training and False in evaluation by the mode of the calling module."""

    def differs(a: Any, b: Any) -> bool:
        return a is True and b is False

    positions = [i for i, pair in enumerate(zip(in_training.args, in_evaluation.args, strict=False)) if differs(*pair)]
    names = [k for k, value in in_evaluation.kwargs.items() if differs(in_training.kwargs.get(k), value)]
    if not positions and not names:
        return
    graph, path = in_evaluation.graph, caller(in_evaluation)
    with graph.inserting_before(in_evaluation):
        flag = graph.create_node("call_module", f"{path}.{_FLAG}" if path else _FLAG)
    for position in positions:
        in_evaluation.update_arg(position, flag)
    for name in names:
        in_evaluation.update_kwarg(name, flag)


def rebuild(model: nn.Module, graph: Graph, **children: nn.Module) -> torch.fx.GraphModule:
    """Return a new network that runs `graph` and shares no tensor with `model`.

    It has every parameter, buffer and state-dict name of `model`, those that the graph does not use included, and
    no others but those of `children`, its further submodules. Every submodule is in the mode of the original one.
    """
    root = copy.deepcopy(model)
    names = set(root.state_dict())
    for name, child in children.items():
        root.add_module(name, child)
    for node in graph.nodes:
        owner, _, name = str(node.target).rpartition(".")
        if node.op == "call_module" and name == _FLAG:
            root.get_submodule(owner).add_module(_FLAG, TrainingFlag())
        if _CONSTANT in node.meta:
            root.register_buffer(str(node.target), node.meta[_CONSTANT].clone())
    network = torch.fx.GraphModule(root, graph, class_name=type(model).__name__)
    _keep_unused(root, network)
    _keep_names(network, names)
    _keep_modes(network, model)
    return network


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
                owner.register_buffer(name, tensor)


def _keep_names(network: nn.Module, names: set[str]) -> None:
    """Keep buffers out of the state dict that were not in the original one."""
    for path, module in network.named_modules(remove_duplicate=False):
        for name, _ in module.named_buffers(recurse=False):
            if (f"{path}.{name}" if path else name) not in names:
                module._non_persistent_buffers_set.add(name)


def _keep_modes(network: nn.Module, model: nn.Module) -> None:
    """Set every module to the mode of the original one, and new modules to that of the module they stand in."""
    modes = {name: module.training for name, module in model.named_modules(remove_duplicate=False)}
    for name, module in network.named_modules(remove_duplicate=False):
        module.training = modes.setdefault(name, modes[name.rpartition(".")[0]] if name else model.training)


def _submodule(network: nn.Module, path: str) -> nn.Module:
    """Return the submodule at `path`, made where it is missing."""
    for part in path.split(".") if path else ():
        if not hasattr(network, part):
            network.add_module(part, nn.Module())
        network = getattr(network, part)
    return network
