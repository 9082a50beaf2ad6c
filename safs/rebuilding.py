"""From graphs back to a network: modules that run them, with every tensor, name and mode of the original."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch.fx
from torch import nn
from torch.fx import Graph

from safs.modes import VALUES
from safs.stand_ins import StandIn
from safs.tracing import CONSTANT
from safs.transformer_layers import replaced, with_activation_modules
from safs.wrappers import with_plain_wrappers

_ORIGINAL = "safs_original"


class OfTheMode(nn.Module):
    """Returns one value in training and another in evaluation; it always is in the mode of the module it stands in.

    A module and not a read of `self.training`, which a network that is pickled and read back would fix.
    """

    def __init__(self, in_training: float, in_evaluation: float) -> None:
        super().__init__()
        self.in_training, self.in_evaluation = in_training, in_evaluation

    def forward(self) -> float:
        """Return the value."""
        return self.in_training if self.training else self.in_evaluation


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
        swaps: by the path of a module, what makes the one that takes its place in Python code from it. The calls of
            graphs stay those of the module itself.
    """
    root = with_activation_modules(with_plain_wrappers(copy.deepcopy(model)))
    originals: dict[nn.Module, nn.Module] = {}
    for path, make in swaps.items():
        original = root.get_submodule(path)
        swapped = make(original)
        originals[swapped] = original
        _swap(root, path, swapped)
    for path in sorted(graphs, key=lambda path: (path == "", -path.count("."))):
        part = root.get_submodule(path)
        made = _graph_module(part, graphs[path], model.get_submodule(path), children.get(path, {}), originals)
        if not path:
            return made
        _swap(root, path, made)
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


def _graph_module(
    root: nn.Module, graph: Graph, model: nn.Module, children: Modules, originals: Mapping[nn.Module, nn.Module]
) -> torch.fx.GraphModule:
    """Return a module that runs a graph with the tensors and submodules of `root`, in the modes of `model`.

    Of the modules of `root` that were swapped, it calls the originals.
    """
    names = set(root.state_dict())
    for name, child in children.items():
        root.add_module(name, child)
    for node in graph.nodes:
        owner, _, name = str(node.target).rpartition(".")
        if VALUES in node.meta:
            root.get_submodule(owner).add_module(name, OfTheMode(*node.meta[VALUES]))
        elif node.op == "call_module" and root.get_submodule(str(node.target)) in originals:
            held = StandIn([originals[root.get_submodule(str(node.target))]], [False])  # it adds no state-dict name
            node.target = f"{_ORIGINAL}_{node.name}"
            root.add_module(node.target, held)
        elif CONSTANT in node.meta:
            root.register_buffer(str(node.target), node.meta[CONSTANT].clone())
    network = torch.fx.GraphModule(root, graph, class_name=type(model).__name__)
    _keep_shared(root, network)
    _keep_unused(root, network)
    for name, child in children.items():
        if list(child.children()):
            network.add_module(name, child)  # whole: sites inside modules that are kept are no calls of the graph
    _keep_names(network, names)
    _keep_order(network, model)
    _keep_modes(network, model)
    return network


def _keep_shared(root: nn.Module, network: torch.fx.GraphModule) -> None:
    """Put back what `GraphModule` leaves out: modules that are called under another of their names.

    Copies of a `GraphModule` keep a module under one of its own names only, so none gets a second one there.
    """
    used = set(network.modules())
    have = {path for path, _ in network.named_modules(remove_duplicate=False)}
    for path, module in root.named_modules(remove_duplicate=False):
        if module in used and path not in have and ("." in path or module not in network.children()):
            network.add_submodule(path, module)


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
