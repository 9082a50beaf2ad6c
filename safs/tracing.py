"""From a module to the graph of its calls, by torch.fx."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch.fx
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.proxy import Proxy, TraceError

from safs.modes import Modes
from safs.random_states import kept_random_states
from safs.recognition import is_activation, recognise
from safs.written_out import written_out
from spaces.errors import SafsError, brief

CONSTANT = "safs_constant"
"""The entry of a node's `meta` that holds a tensor which the forward pass makes itself."""
TRANSFORMERS = (
    nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
)  # fmt: skip
"""Modules of PyTorch, and so one call to torch.fx, that call activation functions."""
_DRAWS = "its forward pass draws random numbers, which a graph would draw once for all"


@dataclass(frozen=True)
class Trace:
    """The graph of a module's forward pass.

    Attributes:
        graph: its calls; a module that is kept whole is one call.
        kept: the paths of the modules within whose own forward pass had to be kept whole, and why.
        evaluated: the paths of the modules that do something else in training, and are taken as in evaluation; the
            module itself is "".
    """

    graph: Graph
    kept: Mapping[str, str]
    evaluated: tuple[str, ...]


def trace(model: nn.Module) -> Trace:
    """Return the graph of a network's forward pass; neither the network nor the random state is changed.

    A module whose forward pass cannot be traced is kept whole: it is one call of the graph. Symbolic tracing fixes
    whatever Python decides while it runs. A module that draws random numbers to decide by is therefore kept whole
    too. `self.training` would be fixed as well: a call such as `F.dropout(x, training=self.training)` would keep the
    mode it was traced in. The network is traced in both modes, and flags and numbers that differ are read from the
    module's mode when it runs. A module within that does something else in training (stochastic depth) is kept whole,
    unless it calls activation functions that are no modules. The network itself, and such a module, are taken as they
    are in evaluation (auxiliary classifiers are left out), and named in `evaluated`.

    Raises:
        SafsError: if the forward pass of the network itself cannot be traced: the reason.
    """
    kept = {
        name: "it is one of PyTorch's own" for name, module in model.named_modules() if isinstance(module, TRANSFORMERS)
    }
    while True:
        graphs, copies, failed = _trace_both(model, kept)
        if not failed:
            modes = Modes(*graphs, copies)
            changing = modes.changing()
            failed = _without_functions(changing, modes)
        if not failed:
            break
        kept |= failed
    modes.join()
    evaluation, copied = graphs[1], copies[1]
    called = {str(node.target) for node in evaluation.nodes if node.op == "call_module"}
    for node in evaluation.nodes:
        if node.op == "get_attr" and not hasattr(model, str(node.target)) and hasattr(copied, str(node.target)):
            node.meta[CONSTANT] = getattr(copied, str(node.target))
    return Trace(evaluation, {path: reason for path, reason in kept.items() if path in called}, _outermost(changing))


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


class _Tracer(torch.fx.Tracer):
    """Traces a network, and goes on past modules whose forward pass fails as if each were one call.

    Attributes:
        failed: the paths of those modules, and why.
    """

    proxy_buffer_attributes = True  # else what is computed from buffers is computed now, once for all, and in place

    def __init__(self, kept: Collection[str] = ()) -> None:  # none: torch.fx makes one when it unpickles a graph
        super().__init__()
        self.kept = kept
        self.failed: dict[str, str] = {}

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Return the stand-ins for the arguments; those that have a default keep it, as when the network is called."""
        given = list(inspect.signature(root_fn).parameters.values())[1:]
        required = [parameter for parameter in given if parameter.default is parameter.empty] or given[:1]
        if len(required) == len(given):
            function, arguments = super().create_args_for_root(root_fn, is_module, concrete_args)
            return function, list(arguments)
        named = [parameter.name for parameter in required if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
        return root_fn, [self.root, *(self.create_proxy("placeholder", name, (), {}) for name in named)]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Recognised last: reading the slopes of a PReLU fails while they are stand-ins.
        kept = module_qualified_name in self.kept or super().is_leaf_module(m, module_qualified_name)
        return kept or is_activation(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return super().call_module(m, forward, args, kwargs)
        stack = dict(self.module_stack)
        with kept_random_states() as drawn:
            try:
                result = super().call_module(m, forward, args, kwargs)
            except Exception as error:  # noqa: BLE001  # a forward pass may raise anything when it is given proxies
                reason = _reason(error)
            else:
                if not drawn():
                    return result
                reason = _DRAWS
        self.failed[path] = reason
        self.module_stack.clear()
        self.module_stack.update(stack)
        return self.create_proxy("call_module", path, args, kwargs)


def _trace_both(
    model: nn.Module, kept: Collection[str]
) -> tuple[tuple[Graph, Graph], tuple[nn.Module, nn.Module], dict[str, str]]:
    """Return the graphs in training and evaluation, the modules of both, and what could not be traced."""
    # Tracing switches the mode and leaves constants on the module: copies, with the same tensors, take both.
    tensors = (*model.parameters(), *model.buffers())
    copied, other = (copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}) for _ in range(2))
    tracers = _Tracer(kept), _Tracer(kept)
    with kept_random_states() as drawn:
        try:
            graphs = tracers[0].trace(copied.train()), tracers[1].trace(other.eval())
        except Exception as error:
            raise SafsError(_reason(error)) from error
        if drawn():
            raise SafsError(_DRAWS)
    copies = copied, other
    assigned = {path: "its forward pass assigns its buffers" for one in copies for path in _with_assigned_buffers(one)}
    if "" in assigned:
        raise SafsError(assigned[""])
    return graphs, copies, tracers[0].failed | tracers[1].failed | assigned


def _with_assigned_buffers(traced: nn.Module) -> list[str]:
    """Return the modules that stand-ins were assigned to as buffers: graphs have no assignments."""
    modules = traced.named_modules()
    return [path for path, one in modules if any(isinstance(buffer, Proxy) for buffer in one._buffers.values())]


def _reason(error: Exception) -> str:
    if isinstance(error, TraceError):
        return "its forward pass branches on the values or sizes of tensors"
    reason = brief(error).rstrip(".")
    return f"its forward pass does not take stand-ins for tensors and their sizes ({reason})"


def _without_functions(changing: Collection[str], modes: Modes) -> dict[str, str]:
    """Return those of the modules within where keeping them whole hides no activation call."""
    modules, found = dict(modes.modules[1].named_modules()), {path for path in changing if path}
    for graph in (modes.train, modes.evaluation):
        for node in graph.nodes:
            known = recognise(node, modules) or written_out(node, modules)
            if node.op in ("call_function", "call_method") and known:
                found -= {path for path in found if f"{caller(node)}.".startswith(f"{path}.")}
    return dict.fromkeys(found, "it does something else in training")


def _outermost(paths: Collection[str]) -> tuple[str, ...]:
    """Return those paths that lie inside no other of them, sorted."""
    if "" in paths:
        return ("",)
    within = {path for path in paths for outer in paths if path != outer and path.startswith(f"{outer}.")}
    return tuple(sorted(set(paths) - within))
