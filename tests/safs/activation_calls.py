"""Counts the activation functions that a network calls while it runs.

It is the other witness of what `find_sites` reads from a graph, so it shares nothing with `safs.recognition`: hooks say
which module is running, a mode sees every function and method that is called with a tensor.
"""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

OPERATORS = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "prelu": "prelu",
    "rrelu": "rrelu",
    "elu": "elu",
    "celu": "celu",
    "selu": "selu",
    "gelu": "gelu",
    "glu": "glu",
    "silu": "swish",
    "mish": "mish",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "hardtanh": "hardtanh",
    "sigmoid": "sigmoid",
    "logsigmoid": "logsigmoid",
    "tanh": "tanh",
    "tanhshrink": "tanhshrink",
    "softplus": "softplus",
    "softsign": "softsign",
    "softshrink": "softshrink",
    "hardshrink": "hardshrink",
    "threshold": "threshold",
}
"""PyTorch's activation functions, and its modules in lower case, with SAFS's names for them."""

_GATING = ("sigmoid", "hardsigmoid")
_MULTIPLICATIONS = ("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__")


@dataclass(frozen=True)
class Call:
    """One call of an activation function.

    Attributes:
        name: the path of the module, or of the caller with the function's name, and `#k` for the k-th of several.
        operator: SAFS's name of the function.
        shape: the shape of its output for one example.
    """

    name: str
    operator: str
    shape: tuple[int, ...]


def activation_calls(network: nn.Module, x: Tensor) -> tuple[list[Call], list[Call]]:
    """Run a network on `x` and return the activation calls that are sites, and those that are gates, in order.

    A gate is a sigmoid, hard or not, whose very output is multiplied by another tensor.
    """
    with torch.no_grad(), _Recorder(network) as recorder:
        network(x)
    sites = [call for call in recorder.calls if id(call[2]) not in recorder.gates]
    gates = [call for call in recorder.calls if id(call[2]) in recorder.gates]
    return _numbered(sites), _numbered(gates)


def _numbered(calls: list[tuple[str, str, Tensor]]) -> list[Call]:
    total, seen = Counter(name for name, _, _ in calls), Counter[str]()
    numbered = []
    for name, operator, output in calls:
        seen[name] += 1
        full_name = f"{name}#{seen[name]}" if total[name] > 1 else name
        numbered.append(Call(full_name, operator, tuple(output.shape[1:])))
    return numbered


class _Recorder(TorchFunctionMode):
    """Notes every activation call once: a module's, or that of a function which no such module makes.

    Attributes:
        calls: name, operator and output of each call. The outputs are kept alive, so that their ids stay their own.
        gates: the ids of the outputs that are gates.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, Tensor]] = []
        self.gates: set[int] = set()
        self._running: list[str] = []
        self._inside = 0
        self._network = network

    def __enter__(self):
        self._hooks = []
        for path, module in self._network.named_modules():
            operator = OPERATORS.get(type(module).__name__.lower()) if module.__module__.startswith("torch.") else None
            before, after = self._hooks_of(path, operator)
            self._hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        return super().__enter__()

    def __exit__(self, *error):
        for hook in self._hooks:
            hook.remove()
        return super().__exit__(*error)

    def _hooks_of(self, path, operator):
        def before(module, arguments):
            self._running.append(path)
            self._inside += operator is not None

        def after(module, arguments, output):
            self._running.pop()
            if operator is not None:
                self._inside -= 1
                self.calls.append((path, operator, output))

        return before, after

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        function = getattr(func, "__name__", "")
        operator = OPERATORS.get(function.strip("_"))
        if operator is not None and not self._inside:
            name = ".".join(part for part in (self._running[-1], function) if part)
            self.calls.append((name, operator, output))
        if function in _MULTIPLICATIONS:
            self._note_gates(*args[:2])
        return output

    def _note_gates(self, *operands) -> None:
        if len(operands) == 2 and all(isinstance(operand, Tensor) for operand in operands):
            sigmoids = {id(output) for _, operator, output in self.calls if operator in _GATING}
            a, b = (id(operand) for operand in operands)
            if a != b:
                self.gates |= {a, b} & sigmoids
