"""The table of unary operators f in y = α·f(β·x): one table for the space, the surgery, the docs and the CLI.

Sources: Table 4 of the SAFS paper (Loni et al. 2023) for the 13 of the search; the papers named at each entry
for their formulas. To add an operator, add one entry to `_TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from spaces.errors import lookup


@dataclass(frozen=True)
class Operator:
    """A unary operator.

    Attributes:
        name: the name in configs, reports and `activations.json`.
        formula: f(x) for people.
        function: maps a tensor of any shape, and the constants by keyword, to a tensor of the same shape.
        constants: names and start values of the formula's constants.
        paper: whether it is one of the 13 operators that the paper searches (Table 4).
        adaptive: whether its constants are parameters by its own definition (PReLU, SReLU), learned in every
            training; those of all others are learned in stage 2 only.
        per_channel: whether its constants are one value per channel by its own definition (SReLU).
    """

    name: str
    formula: str
    function: Callable[..., Tensor]
    constants: Mapping[str, float] = field(default_factory=dict)
    paper: bool = False
    adaptive: bool = False
    per_channel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    def __call__(self, x: Tensor, **constants: Tensor | float) -> Tensor:
        """Return f(x), element by element, with the table's value for each constant that is not given."""
        return self.function(x, **{**self.constants, **constants})

    def __reduce__(self) -> tuple[Callable[[str], Operator], tuple[str]]:
        """Pickle and copy by name: there is one object for each entry of the table."""
        return get_operator, (self.name,)

    def __deepcopy__(self, memo: object) -> Operator:
        return self


def _like(value: Tensor | float, x: Tensor) -> Tensor:
    """Return a constant as a tensor of x's type and device, without a copy that would wait for the device."""
    return value.to(x) if isinstance(value, Tensor) else x.new_full((), value)


def _sign(x: Tensor) -> Tensor:
    """Return −1 below 0 and 1 elsewhere: with a sign of 0, and |x|'s gradient of 0, f'(0) would be 0, not 1."""
    return torch.where(x < 0, -1.0, 1.0).to(x)


def _acon(x: Tensor, p1: Tensor | float, p2: Tensor | float, gamma: Tensor | float) -> Tensor:
    difference = (p1 - p2) * x
    return difference * torch.sigmoid(gamma * difference) + p2 * x


def _tanhsoft1(x: Tensor, c: Tensor | float) -> Tensor:
    return torch.tanh(c * x) * F.softplus(x)


def _srs(x: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    # Past e^40 f is 0 to float32's precision; an overflowing exponential would make its gradient NaN. One reciprocal
    # and products train a quarter faster than the four divisions of the formula and its gradient.
    return x * torch.reciprocal(x * (1 / a) + torch.exp((x * (-1 / b)).clamp(max=40.0)))


def _symlog(x: Tensor) -> Tensor:
    sign = _sign(x)
    return sign * torch.log1p(sign * x)


def _symexp(x: Tensor) -> Tensor:
    # e^80 is the last round power that float32 holds with room for a sum; training that gets there ends in NaN.
    sign = _sign(x)
    return sign * torch.expm1((sign * x).clamp(max=80.0))


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _srelu(
    x: Tensor, t_left: Tensor | float, a_left: Tensor | float, t_right: Tensor | float, a_right: Tensor | float
) -> Tensor:
    lower, upper = _like(t_left, x), _like(t_right, x)
    left = lower + a_left * (x - lower)
    right = upper + a_right * (x - upper)
    return torch.where(x <= lower, left, torch.where(x >= upper, right, x))


def _falu(x: Tensor, order: Tensor | float) -> Tensor:
    order = _like(order, x).clamp(0.0, 2.0)
    gate = torch.sigmoid(x)
    g = x * gate
    h = g + gate * (1 - g)
    return torch.where(order <= 1, g + order * gate * (1 - g), h + (order - 1) * gate * (1 - 2 * h))


def _leaky_relu(x: Tensor, slope: Tensor | float) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def _identity(x: Tensor) -> Tensor:
    return x


def _elu(x: Tensor, a: Tensor | float) -> Tensor:
    return F.elu(x, a) if isinstance(a, float) else torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0.0)))


def _softplus(x: Tensor, sharpness: Tensor | float) -> Tensor:
    return F.softplus(x, sharpness) if isinstance(sharpness, float) else F.softplus(sharpness * x) / sharpness


def _hardtanh(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    return torch.minimum(torch.maximum(x, _like(low, x)), _like(high, x))


def _softshrink(x: Tensor, width: Tensor | float) -> Tensor:
    return x - _hardtanh(x, -width, width)


def _hardshrink(x: Tensor, width: Tensor | float) -> Tensor:
    return torch.where(x.abs() > width, x, 0 * _like(width, x))  # its gradient is 0, not absent


def _threshold(x: Tensor, threshold: Tensor | float, value: Tensor | float) -> Tensor:
    return torch.where(x > threshold, x, _like(value, x) + 0 * _like(threshold, x))


def _celu(x: Tensor, a: Tensor | float) -> Tensor:
    return torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0.0) / a))


def _quick_gelu(x: Tensor, sharpness: Tensor | float) -> Tensor:
    return x * torch.sigmoid(sharpness * x)


def _hard_mish(x: Tensor) -> Tensor:
    return 0.5 * x * (x + 2).clamp(min=0, max=2)


_TABLE = (
    # The 13 of the paper (Table 4).
    Operator("relu6", "min(max(0, x), 6)", F.relu6, paper=True),
    Operator(
        # Ma et al. 2021, ACON-C. p1 = p2 is the identity and p2 = 0 is swish; these make it its own function.
        "acon",
        "(p1−p2)·x·σ(γ(p1−p2)x) + p2·x",
        _acon,
        {"p1": 1.0, "p2": 0.25, "gamma": 1.0},
        paper=True,
    ),
    Operator("tanhsoft1", "tanh(c·x)·softplus(x)", _tanhsoft1, {"c": 0.87}, paper=True),  # Biswas et al. 2021
    Operator("srs", "x / (x/a + e^(−x/b))", _srs, {"a": 5.0, "b": 3.0}, paper=True),  # Zhou et al. 2020
    Operator("symlog", "sign(x)·ln(1+|x|)", _symlog, paper=True),  # Hafner et al. 2023
    Operator("symexp", "sign(x)·(e^|x|−1)", _symexp, paper=True),  # Hafner et al. 2023
    Operator("swish", "x·σ(x)", F.silu, paper=True),
    Operator("tanh", "tanh(x)", torch.tanh, paper=True),
    Operator("hardswish", "x·relu6(x+3)/6", F.hardswish, paper=True),
    Operator("elu", "x above 0, a·(e^x−1) below", _elu, {"a": 1.0}, paper=True),
    Operator("gelu", "x·Φ(x)", F.gelu, paper=True),
    Operator("softplus", "ln(1+e^(s·x))/s", _softplus, {"sharpness": 1.0}, paper=True),
    Operator("sigmoid", "1/(1+e^−x)", torch.sigmoid, paper=True),
    # Baselines and extras.
    Operator("relu", "max(0, x)", F.relu),
    Operator("leaky_relu", "x above 0, s·x below", _leaky_relu, {"slope": 0.01}),
    Operator("prelu", "x above 0, s·x below, s learned", _leaky_relu, {"slope": 0.25}, adaptive=True),
    Operator("mish", "x·tanh(softplus(x))", F.mish),
    Operator("selu", "1.0507·(x above 0, 1.6733·(e^x−1) below)", F.selu),
    Operator("logsigmoid", "−ln(1+e^−x)", F.logsigmoid),
    Operator("identity", "x", _identity),
    Operator(
        # Jin et al. 2016: starts as a leaky ReLU; a_right = 1 leaves the right part open until it is learned.
        "srelu",
        "t_l+a_l(x−t_l) below t_l, t_r+a_r(x−t_r) above t_r, x between",
        _srelu,
        {"t_left": 0.0, "a_left": 0.2, "t_right": 1.0, "a_right": 1.0},
        adaptive=True,
        per_channel=True,
    ),
    Operator("falu", "fractional derivative of x·σ(x), order in [0, 2]", _falu, {"order": 0.5}),  # Zamora et al. 2022
    Operator("gelu_tanh", "x·Φ(x) by its tanh approximation", _gelu_tanh),
    Operator("hardsigmoid", "relu6(x+3)/6", F.hardsigmoid),
    Operator("hardtanh", "min(max(low, x), high)", _hardtanh, {"low": -1.0, "high": 1.0}),
    Operator("softsign", "x/(1+|x|)", F.softsign),
    Operator("softshrink", "x−w above w, x+w below −w, 0 between", _softshrink, {"width": 0.5}),
    Operator("hardshrink", "x above w and below −w, 0 between", _hardshrink, {"width": 0.5}),
    Operator("threshold", "x above t, v elsewhere", _threshold, {"threshold": 0.0, "value": 0.0}),
    Operator("celu", "x above 0, a·(e^(x/a)−1) below", _celu, {"a": 1.0}),
    Operator("tanhshrink", "x − tanh(x)", F.tanhshrink),
    Operator("quick_gelu", "x·σ(s·x)", _quick_gelu, {"sharpness": 1.702}),  # Hendrycks & Gimpel 2016
    Operator("hard_mish", "x·min(max(0, x+2), 2)/2", _hard_mish),
)

OPERATORS: Mapping[str, Operator] = MappingProxyType({operator.name: operator for operator in _TABLE})
PAPER_OPERATORS: tuple[str, ...] = tuple(operator.name for operator in _TABLE if operator.paper)
"""The names of the 13 operators of Table 4, in its order."""


def get_operator(name: str) -> Operator:
    """Return the operator called `name`.

    Raises:
        UnknownNameError: if there is none; the message lists the choices.
    """
    return lookup("operator", name, OPERATORS)
