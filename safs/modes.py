"""What a network does otherwise in training than in evaluation, read from its graphs in both modes."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg

TRAINING_FLAG = "safs_training"
"""The name of the submodule that tells a call whether the module that makes it is in training."""
VALUES = "safs_values"
"""The entry of a node's `meta` that holds what its call returns in training, and what in evaluation: plain numbers."""

_NOT_GIVEN = object()


def is_number(value: Any) -> bool:
    """Return whether an argument of a call is a number, one that depends on the mode included."""
    return isinstance(value, int | float) or (isinstance(value, Node) and VALUES in value.meta)


class Modes:
    """The graphs of a network in training and in evaluation, and which of their calls are the same.

    Args:
        train, evaluation: the graphs.
        modules: the networks that were traced, which hold the tensors that the forward pass makes itself.
    """

    def __init__(self, train: Graph, evaluation: Graph, modules: tuple[nn.Module, nn.Module]) -> None:
        self.train, self.evaluation, self.modules = train, evaluation, modules
        before, after = list(train.nodes), list(evaluation.nodes)
        blocks = difflib.SequenceMatcher(
            a=[_key(node) for node in before], b=[_key(node) for node in after], autojunk=False
        ).get_matching_blocks()
        self._partners = {before[a + i]: after[b + i] for a, b, size in blocks for i in range(size)}
        self._matched = set(self._partners.values())

    def changing(self) -> set[str]:
        """Return the modules that call something else in training, or with arguments that `join` leaves.

        Modules that are called in training alone are among them.
        """
        calls = [_calls(graph) for graph in (self.train, self.evaluation)]
        paths = {path for path in calls[0].keys() | calls[1].keys() if calls[0].get(path) != calls[1].get(path)}
        for in_training, in_evaluation in self._partners.items():
            if self._left(in_training, in_evaluation):
                paths.add(_maker(in_evaluation))
        return paths

    def join(self) -> None:
        """Let calls in evaluation read the flags and numbers that are others in training from their module's mode."""
        for in_training, in_evaluation in self._partners.items():
            for argument, pair in self._joined(in_training, in_evaluation).items():
                value = _of_the_mode(in_evaluation, pair)
                if isinstance(argument, int):
                    in_evaluation.update_arg(argument, value)
                else:
                    in_evaluation.update_kwarg(argument, value)

    def _left(self, in_training: Node, in_evaluation: Node) -> bool:
        """Return whether a call, or a tensor that the forward pass makes itself, differs in what cannot be joined."""
        if in_evaluation.op == "get_attr":
            a, b = (getattr(module, str(in_evaluation.target), None) for module in self.modules)
            if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a is b or a.is_meta:
                return False
            return not torch.equal(a, b)
        return self._differing(in_training, in_evaluation) != self._joined(in_training, in_evaluation)

    def _joined(self, in_training: Node, in_evaluation: Node) -> dict[int | str, tuple[Any, Any]]:
        """Return those of the differing arguments that can be read from the mode.

        A number can where the calls take the same tensors; else they may be two calls that only look the same.
        """
        if not in_evaluation.op.startswith("call"):
            return {}
        same = [self._partners.get(node) for node in in_training.all_input_nodes] == in_evaluation.all_input_nodes
        return {
            argument: pair
            for argument, pair in self._differing(in_training, in_evaluation).items()
            if all(isinstance(value, bool) or (same and isinstance(value, int | float)) for value in pair)
        }

    def _differing(self, in_training: Node, in_evaluation: Node) -> dict[int | str, tuple[Any, Any]]:
        """Return the arguments of a call that are others in training, by their positions or names.

        One that is computed in one mode alone is left out: what computes it is a call that differs already.
        """
        before, after = _arguments(in_training), _arguments(in_evaluation)
        differing = {}
        for argument in dict.fromkeys((*before, *after)):
            a, b = before.get(argument, _NOT_GIVEN), after.get(argument, _NOT_GIVEN)
            comparable = self._partners.keys() >= _nodes(a) and self._matched >= _nodes(b)
            if comparable and map_arg(a, self._partners.__getitem__) != b:
                differing[argument] = a, b
        return differing


def _of_the_mode(node: Node, pair: tuple[Any, Any]) -> Node:
    """Return a new call, before a node, that returns the one value in training and the other in evaluation."""
    flag = pair[0] is True and pair[1] is False
    number = sum(VALUES in other.meta for other in node.graph.nodes)
    name, path = TRAINING_FLAG if flag else f"{TRAINING_FLAG}_{number}", _maker(node)
    with node.graph.inserting_before(node):
        value = node.graph.create_node("call_module", f"{path}.{name}" if path else name)
    value.meta[VALUES] = pair
    return value


def _arguments(node: Node) -> dict[int | str, Any]:
    return dict[int | str, Any](enumerate(node.args)) | dict(node.kwargs)


def _nodes(argument: Any) -> set[Node]:
    found: list[Node] = []
    map_arg(argument, found.append)
    return set(found)


def _calls(graph: Graph) -> dict[str, list[tuple[str, str]]]:
    """Return what each module calls itself."""
    calls: dict[str, list[tuple[str, str]]] = {}
    for node in graph.nodes:
        if node.op.startswith("call"):
            calls.setdefault(_maker(node), []).append((node.op, str(node.target)))
    return calls


def _maker(node: Node) -> str:
    """Return the path of the module whose code makes a call; the last of the stack is the module that is called."""
    modules = ["", *(str(path) for path, _ in node.meta.get("nn_module_stack", {}).values())]
    return modules[-2 if node.op == "call_module" else -1]


def _key(node: Node) -> tuple[str, str, str]:
    return node.op, str(node.target), _maker(node)
