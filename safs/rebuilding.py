"""From graphs back to a network: modules that run them, with every tensor, name and mode of the original."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch.fx
from torch import nn
from torch.fx import Graph

from safs.tracing import CONSTANT, TRAINING_FLAG
from safs.transformer_layers import replaced, with_activation_modules


class TrainingFlag(nn.Module):
    """Returns whether it is in training, which it always is with the module that it stands in.

    A module and not a read of `self.training`, which a network that is pickled and read back would fix.
    """

    def forward(self) -> bool:
        """Return the mode."""
        return self.training


Modules = Mapping[str, nn.Module]
"""Submodules by name."""


def rebuild(
    model: nn.Module,
    graphs: Mapping[str, Graph],
    children: Mapping[str, Modules] = {},
    swaps: Mapping[str, Callable[[nn.Module], nn.Module]] = {},
) -> nn.Module:
    """Return a new network that runs the graphs and shares no tensor with `model`.

    It has every parameter, buffer and state-dict name of `model`, those that the graphs do not use included, in the
    same order, and no others but those of `children`, which come last. Every submodule is in the mode of the original.

    Args:
        model: the network; it is not changed.
        graphs: the graphs that modules run, by their paths; the network itself, "", is then a `GraphModule`.
        children: further submodules, by the path of the module that gets them.
        swaps: by the path of a module, what makes the one that takes its place from it.
    """
    root = with_activation_modules(copy.deepcopy(model))
    for path, make in swaps.items():
        _swap(root, path, make(root.get_submodule(path)))
    for path in sorted(graphs, key=lambda path: -path.count(".")):
        if path:
            part = _graph_module(root.get_submodule(path), graphs[path], model.get_submodule(path), children.get(path))
            _swap(root, path, part)
    if "" in graphs:
        return _graph_module(root, graphs[""], model, children.get(""))
    for name, child in children.get("", {}).items():
        root.add_module(name, child.train(root.training))
    return root


def _swap(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of another, wherever the network refers to that one."""
    old = root.get_submodule(path)
    for owner in list(root.modules()):
        for name, child in list(owner._modules.items()):
            if child is old:
                owner.add_module(name, module)
                replaced(owner)


def _graph_module(root: nn.Module, graph: Graph, original: nn.Module, children: Modules | None) -> torch.fx.GraphModule:
    """Return a module that runs a graph with the tensors and submodules of `root`, in the modes of `original`."""
    names = set(root.state_dict())
    for name, child in (children or {}).items():
        root.add_module(name, child)
    for node in graph.nodes:
        owner, _, name = str(node.target).rpartition(".")
        if node.op == "call_module" and name == TRAINING_FLAG:
            root.get_submodule(owner).add_module(TRAINING_FLAG, TrainingFlag())
        if CONSTANT in node.meta:
            root.register_buffer(str(node.target), node.meta[CONSTANT].clone())
    network = torch.fx.GraphModule(root, graph, class_name=type(original).__name__)
    _keep_unused(root, network)
    for name, child in (children or {}).items():
        if list(child.children()):
            network.add_module(name, child)  # whole: sites inside modules that are kept are no calls of the graph
    _keep_names(network, names)
    _keep_order(network, original)
    _keep_modes(network, original)
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


def _keep_order(network: nn.Module, model: nn.Module) -> None:
    """Put tensors and submodules in the original's order, new ones last: an optimiser's state goes by it.

    Each module keeps the version of its state dict too.
    """
    originals = dict(model.named_modules(remove_duplicate=False))
    for name, module in network.named_modules(remove_duplicate=False):
        if name not in originals:
            continue
        module._version = originals[name]._version  # of its state dict's layout: MNASNet reads another version's anew
        for kind in ("_parameters", "_buffers", "_modules"):
            has = getattr(module, kind)
            ordered = {key: has[key] for key in (*getattr(originals[name], kind), *has) if key in has}
            has.clear()
            has.update(ordered)


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
