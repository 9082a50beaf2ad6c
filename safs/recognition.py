"""Which calls of a PyTorch graph are activation functions, and which unary operator each one is.

Everything the surgery knows of PyTorch's own activations, and of timm's modules, stands in these tables: modules,
functions and tensor methods. An entry names the operator, and how its arguments map to the operator's constants.
What networks write out over several calls is recognised in `safs.written_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from spaces.operators import get_operator


@dataclass(frozen=True)
class Recognised:
    """The unary operator that a call computes, and the values of its constants there.

    Attributes:
        operator: a name of the operator table, or of `FIXED`.
        constants: the constants where they differ from the table's: numbers, or lists per channel.
    """

    operator: str
    constants: Mapping[str, Any] = field(default_factory=dict)


_Arguments = tuple[tuple[str, str], ...]
"""Pairs of an argument's name in PyTorch and the name of the operator's constant, in PyTorch's order."""

_SLOPE: _Arguments = (("negative_slope", "slope"),)
_ALPHA: _Arguments = (("alpha", "a"),)
_SOFTPLUS: _Arguments = (("beta", "sharpness"),)
_HARDTANH: _Arguments = (("min_val", "low"), ("max_val", "high"))
_SHRINK: _Arguments = (("lambd", "width"),)
_THRESHOLD: _Arguments = (("threshold", "threshold"), ("value", "value"))

FIXED: Mapping[str, str] = {"rrelu": "it is random in training, as no operator of the table is"}
"""Activation functions that are known and cannot be replaced, and why."""

_MODULES: dict[type[nn.Module], tuple[str, _Arguments]] = {
    nn.ReLU: ("relu", ()),
    nn.ReLU6: ("relu6", ()),
    nn.LeakyReLU: ("leaky_relu", _SLOPE),
    nn.PReLU: ("prelu", ()),
    nn.ELU: ("elu", _ALPHA),
    nn.CELU: ("celu", _ALPHA),
    nn.SELU: ("selu", ()),
    nn.GELU: ("gelu", ()),
    nn.SiLU: ("swish", ()),
    nn.Mish: ("mish", ()),
    nn.Hardswish: ("hardswish", ()),
    nn.Hardsigmoid: ("hardsigmoid", ()),
    nn.Hardtanh: ("hardtanh", _HARDTANH),
    nn.Sigmoid: ("sigmoid", ()),
    nn.LogSigmoid: ("logsigmoid", ()),
    nn.Tanh: ("tanh", ()),
    nn.Tanhshrink: ("tanhshrink", ()),
    nn.Softplus: ("softplus", _SOFTPLUS),
    nn.Softsign: ("softsign", ()),
    nn.Softshrink: ("softshrink", _SHRINK),
    nn.Hardshrink: ("hardshrink", _SHRINK),
    nn.Threshold: ("threshold", _THRESHOLD),
    nn.RReLU: ("rrelu", ()),
}

_TIMM = ("timm.layers.activations", "timm.layers.activations_me")
_TIMM_MODULES: dict[str, str] = {
    "Swish": "swish",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid",
    "HardMish": "hard_mish",
    "PReLU": "prelu",
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
}
"""By the class's name, without the "Me" of those that save memory, so that timm need not be there."""

_FUNCTIONS: dict[Callable[..., Any], tuple[str, _Arguments]] = {
    F.relu: ("relu", ()),
    F.relu_: ("relu", ()),
    torch.relu: ("relu", ()),
    torch.relu_: ("relu", ()),
    Tensor.relu: ("relu", ()),
    Tensor.relu_: ("relu", ()),
    F.relu6: ("relu6", ()),
    F.leaky_relu: ("leaky_relu", _SLOPE),
    F.leaky_relu_: ("leaky_relu", _SLOPE),
    F.elu: ("elu", _ALPHA),
    F.elu_: ("elu", _ALPHA),
    F.celu: ("celu", _ALPHA),
    F.celu_: ("celu", _ALPHA),
    torch.celu: ("celu", _ALPHA),
    torch.celu_: ("celu", _ALPHA),
    F.selu: ("selu", ()),
    F.selu_: ("selu", ()),
    torch.selu: ("selu", ()),
    torch.selu_: ("selu", ()),
    F.gelu: ("gelu", ()),
    F.silu: ("swish", ()),
    F.mish: ("mish", ()),
    F.hardswish: ("hardswish", ()),
    F.hardsigmoid: ("hardsigmoid", ()),
    F.hardtanh: ("hardtanh", _HARDTANH),
    F.hardtanh_: ("hardtanh", _HARDTANH),
    F.sigmoid: ("sigmoid", ()),
    torch.sigmoid: ("sigmoid", ()),
    torch.sigmoid_: ("sigmoid", ()),
    Tensor.sigmoid: ("sigmoid", ()),
    Tensor.sigmoid_: ("sigmoid", ()),
    F.logsigmoid: ("logsigmoid", ()),
    F.tanh: ("tanh", ()),
    torch.tanh: ("tanh", ()),
    torch.tanh_: ("tanh", ()),
    Tensor.tanh: ("tanh", ()),
    Tensor.tanh_: ("tanh", ()),
    F.tanhshrink: ("tanhshrink", ()),
    F.softplus: ("softplus", _SOFTPLUS),
    F.softsign: ("softsign", ()),
    F.softshrink: ("softshrink", _SHRINK),
    F.hardshrink: ("hardshrink", _SHRINK),
    torch.hardshrink: ("hardshrink", _SHRINK),
    Tensor.hardshrink: ("hardshrink", _SHRINK),
    F.threshold: ("threshold", _THRESHOLD),
    torch.threshold_: ("threshold", _THRESHOLD),
    torch.threshold: ("threshold", _THRESHOLD),
    F.rrelu: ("rrelu", ()),
    F.rrelu_: ("rrelu", ()),
    torch.rrelu: ("rrelu", ()),
}


def recognise(node: Node, modules: Mapping[str, nn.Module]) -> Recognised | None:
    """Return what activation function a graph's node calls, or None if it calls none.

    Args:
        node: a node of the graph.
        modules: the traced network's modules by name (`dict(model.named_modules())`).
    """
    if node.op == "call_module":
        module = modules.get(str(node.target))
        return recognise_module(module) if module is not None else None
    if node.op == "call_function" and node.target is F.prelu:
        return _functional_prelu(node, modules)
    if node.op == "call_function":
        return recognise_function(node.target, node.args, node.kwargs)
    if node.op == "call_method":
        return recognise_function(getattr(Tensor, str(node.target), None), node.args, node.kwargs)
    return None


def recognise_function(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Recognised | None:
    """Return what activation function a call of a function, or of a tensor's method, is, or None if it is none."""
    if not isinstance(function, Hashable) or function not in _FUNCTIONS:
        return None
    operator, arguments = _FUNCTIONS[function]
    given = dict(zip((name for name, _ in arguments), args[1:], strict=False)) | dict(kwargs)
    if any(isinstance(given.get(name), Node | Tensor) for name, _ in arguments):
        return None  # a constant that the forward pass computes is none
    return _recognised(operator, arguments, given)


def recognise_module(module: nn.Module) -> Recognised | None:
    """Return what activation function a module is, or None if it is none that is known."""
    known = _known(module)
    if known is None:
        return None
    if isinstance(module, nn.PReLU):
        return _prelu(module.weight)
    operator, arguments = known
    return _recognised(operator, arguments, vars(module))


def is_activation(module: nn.Module) -> bool:
    """Return whether a module is a known activation function; none of its tensors is read."""
    return _known(module) is not None


def _known(module: nn.Module) -> tuple[str, _Arguments] | None:
    """Return the tables' entry for a module. A subclass that keeps the `forward` of a known one is that one."""
    if _is_timm(module):
        operator = _TIMM_MODULES.get(type(module).__name__.removesuffix("Me"))
        return (operator, ()) if operator else None
    base = next((base for base in type(module).__mro__ if base in _MODULES), None)
    return _MODULES[base] if base is not None and type(module).forward is base.forward else None


def _is_timm(module: nn.Module) -> bool:
    return type(module).__module__ in _TIMM


def _functional_prelu(node: Node, modules: Mapping[str, nn.Module]) -> Recognised | None:
    """Return the PReLU that `F.prelu(x, weight)` is, if its weight is a parameter of the network."""
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if not isinstance(weight, Node) or weight.op != "get_attr":
        return None
    owner, _, name = str(weight.target).rpartition(".")
    tensor = getattr(modules.get(owner), name, None)
    return _prelu(tensor) if isinstance(tensor, Tensor) else None


def _prelu(weight: Tensor) -> Recognised:
    if weight.is_meta:
        return Recognised("prelu")
    slopes = weight.detach().cpu().tolist()
    return Recognised("prelu", {"slope": slopes[0] if len(slopes) == 1 else slopes})


def _recognised(operator: str, arguments: _Arguments, given: Mapping[str, Any]) -> Recognised:
    if operator == "gelu" and given.get("approximate") == "tanh":
        operator = "gelu_tanh"
    values = {constant: given[name] for name, constant in arguments if name in given}
    constants = {k: float(value) for k, value in values.items() if value != get_operator(operator).constants[k]}
    if operator == "threshold" and not constants:
        operator = "relu"
    return Recognised(operator, constants)
