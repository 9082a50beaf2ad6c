import copy
import math
import pickle

import numpy as np
import pytest
import torch

from spaces.errors import UnknownNameError
from spaces.operators import OPERATORS, PAPER_OPERATORS, get_operator


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


def softplus(x):
    return np.log1p(np.exp(x))


def elu(x, a=1.0):
    return np.where(x > 0, x, a * np.expm1(x))


def softshrink(x, width):
    return np.sign(x) * np.maximum(np.abs(x) - width, 0)


def falu(x, order):
    g, s = x * sigmoid(x), sigmoid(x)
    h = g + s * (1 - g)
    return g + order * s * (1 - g) if order <= 1 else h + (order - 1) * s * (1 - 2 * h)


# Written from the papers, in float64 and in other terms than the code where there are any.
FORMULAS = {
    "relu6": lambda x: np.clip(x, 0, 6),
    "acon": lambda x: 0.75 * x / (1 + np.exp(-0.75 * x)) + 0.25 * x,
    "tanhsoft1": lambda x: np.tanh(0.87 * x) * softplus(x),
    "srs": lambda x: x / (x / 5 + np.exp(-x / 3)),
    "symlog": lambda x: np.where(x < 0, -np.log(1 + np.maximum(-x, 0)), np.log(1 + np.maximum(x, 0))),
    "symexp": lambda x: np.where(x < 0, 1 - np.exp(-x), np.exp(x) - 1),
    "swish": lambda x: x * sigmoid(x),
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "elu": elu,
    "gelu": lambda x: x * normal_cdf(x),
    "softplus": softplus,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: np.where(x > 0, x, 0.25 * x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "logsigmoid": lambda x: -np.log(1 + np.exp(-x)),
    "identity": lambda x: x,
    "srelu": lambda x: np.where(x <= 0, 0.2 * x, x),
    "falu": lambda x: falu(x, 0.5),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softshrink": lambda x: softshrink(x, 0.5),
    "hardshrink": lambda x: x * (np.abs(x) > 0.5),
    "threshold": lambda x: x * (x > 0),
    "celu": elu,
    "tanhshrink": lambda x: x - np.tanh(x),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "hard_mish": lambda x: x * np.clip(x / 2 + 1, 0, 1),
}

X = np.concatenate([np.linspace(-8, 8, 161), [1e-3, -1e-3]])


def test_every_operator_has_a_formula_here():
    assert set(FORMULAS) == set(OPERATORS)


@pytest.mark.parametrize("name", OPERATORS)
def test_value(name):
    x = torch.from_numpy(X)
    before = x.clone()
    np.testing.assert_allclose(OPERATORS[name](x).numpy(), FORMULAS[name](X), rtol=1e-9, atol=1e-12)
    assert torch.equal(x, before)  # not in place


def test_paper_operators_are_those_of_table_4_in_its_order():
    assert PAPER_OPERATORS == (
        "relu6", "acon", "tanhsoft1", "srs", "symlog", "symexp", "swish", "tanh", "hardswish", "elu", "gelu",
        "softplus", "sigmoid",
    )  # fmt: skip


EXTREMES = [0.0, -0.0, 1e-3, -1e-3, 100.0, -100.0, 1e4, -1e4]


@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_gradients_are_finite(name):
    x = torch.tensor(EXTREMES, requires_grad=True)
    y = OPERATORS[name](x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(y).all(), y
    assert torch.isfinite(gradient).all(), gradient


def test_symexp_overflows_as_stated():
    x = torch.tensor([79.0, 81.0, -81.0, 1e4], requires_grad=True)
    y = OPERATORS["symexp"](x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y[0], torch.tensor(math.expm1(79.0)), rtol=1e-4, atol=0)
    assert y[1] == y[3] == -y[2] == y.max()  # past 80 it is flat, and a few such values still add up
    assert gradient[0] > 1e34
    assert gradient[1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["symlog", "symexp"])
def test_symmetric_operators_have_slope_1_at_zero(name):
    x = torch.zeros(3, requires_grad=True)
    OPERATORS[name](x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in ("symexp", "falu")])
def test_gradient_by_finite_differences(name):
    x = torch.tensor([-4.3, -1.7, -0.4, 0.3, 0.8, 2.2, 5.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(OPERATORS[name], (x,))


@pytest.mark.parametrize("name", [name for name, operator in OPERATORS.items() if operator.constants])
def test_tensor_constants_give_what_numbers_give(name):
    operator = OPERATORS[name]
    x = torch.from_numpy(X)
    tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in operator.constants.items()}
    torch.testing.assert_close(operator(x, **tensors), operator(x), rtol=1e-12, atol=1e-14)


# Values that are not the table's, so that an ignored constant is seen.
OTHER = {
    "acon": {"p1": 1.4, "p2": -0.3, "gamma": 2.0},
    "tanhsoft1": {"c": 0.4},
    "srs": {"a": 3.0, "b": 2.0},
    "elu": {"a": 1.7},
    "softplus": {"sharpness": 2.5},
    "leaky_relu": {"slope": 0.3},
    "prelu": {"slope": -0.2},
    "srelu": {"t_left": -0.5, "a_left": 0.1, "t_right": 0.7, "a_right": 2.0},
    "falu": {"order": 1.6},
    "hardtanh": {"low": -2.0, "high": 0.5},
    "softshrink": {"width": 0.75},
    "hardshrink": {"width": 0.75},
    "threshold": {"threshold": -0.5, "value": 2.5},
    "celu": {"a": 0.6},
    "quick_gelu": {"sharpness": 0.8},
}
OTHER_FORMULAS = {
    "acon": lambda x: 1.7 * x * sigmoid(2.0 * 1.7 * x) - 0.3 * x,
    "tanhsoft1": lambda x: np.tanh(0.4 * x) * softplus(x),
    "srs": lambda x: x / (x / 3 + np.exp(-x / 2)),
    "elu": lambda x: elu(x, 1.7),
    "softplus": lambda x: softplus(2.5 * x) / 2.5,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.3 * x),
    "prelu": lambda x: np.where(x > 0, x, -0.2 * x),
    "srelu": lambda x: np.where(x < -0.5, -0.5 + 0.1 * (x + 0.5), np.where(x > 0.7, 0.7 + 2 * (x - 0.7), x)),
    "falu": lambda x: falu(x, 1.6),
    "hardtanh": lambda x: np.clip(x, -2, 0.5),
    "softshrink": lambda x: softshrink(x, 0.75),
    "hardshrink": lambda x: x * (np.abs(x) > 0.75),
    "threshold": lambda x: np.where(x > -0.5, x, 2.5),
    "celu": lambda x: np.where(x > 0, x, 0.6 * np.expm1(x / 0.6)),
    "quick_gelu": lambda x: x * sigmoid(0.8 * x),
}


@pytest.mark.parametrize("name", [name for name, operator in OPERATORS.items() if operator.constants])
def test_other_constants(name):
    x = torch.from_numpy(X)
    expected = OTHER_FORMULAS[name](X)
    tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in OTHER[name].items()}
    np.testing.assert_allclose(OPERATORS[name](x, **OTHER[name]).numpy(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(OPERATORS[name](x, **tensors).numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, operator in OPERATORS.items() if operator.constants])
def test_constants_per_channel(name):
    operator = OPERATORS[name]
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = [dict(operator.constants), OTHER[name]]
    channels = {k: torch.tensor([c[k] for c in both], dtype=torch.float64).view(1, 2, 1, 1) for k in operator.constants}
    y = operator(x, **channels)
    for channel, constants in enumerate(both):
        torch.testing.assert_close(y[:, channel], operator(x[:, channel], **constants))


@pytest.mark.parametrize("name", [name for name, operator in OPERATORS.items() if operator.constants])
def test_gradients_of_constants(name):
    x = torch.tensor([-2.7, -1.1, -0.3, 0.2, 0.9, 3.1], dtype=torch.float64)
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in OTHER[name].values()]
    names = list(OTHER[name])
    assert torch.autograd.gradcheck(lambda *v: OPERATORS[name](x, **dict(zip(names, v, strict=True))), values)


def test_constants_that_are_not_given_are_the_tables():
    x = torch.from_numpy(X)
    assert torch.equal(OPERATORS["acon"](x, p2=0.5), OPERATORS["acon"](x, p1=1.0, p2=0.5, gamma=1.0))


def test_acon_is_a_function_of_its_own():
    x = torch.linspace(-3, 3, 61)
    acon = OPERATORS["acon"]
    assert (acon(x) - x).abs().max() > 0.5
    assert (acon(x) - OPERATORS["swish"](x)).abs().max() > 0.1
    torch.testing.assert_close(acon(x, p1=0.7, p2=0.7, gamma=1.0), 0.7 * x)  # why p1 = p2 is no start
    torch.testing.assert_close(acon(x, p1=1.0, p2=0.0, gamma=1.0), OPERATORS["swish"](x))


@pytest.mark.parametrize(("order", "nearest"), [(-1.0, 0.0), (3.0, 2.0)])
def test_falu_keeps_its_order_within_0_and_2(order, nearest):
    x = torch.from_numpy(X)
    assert torch.equal(OPERATORS["falu"](x, order=order), OPERATORS["falu"](x, order=nearest))


def test_srelu_pieces():
    x = torch.tensor([-3.0, -1.0, -0.5, 0.0, 1.0, 2.0, 4.0])
    y = OPERATORS["srelu"](x, t_left=-1.0, a_left=0.5, t_right=2.0, a_right=3.0)
    assert y.tolist() == [-2.0, -1.0, -0.5, 0.0, 1.0, 2.0, 8.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", OPERATORS)
def test_type_and_shape_stay(name, dtype):
    x = torch.randn(2, 3, 4).to(dtype)
    y = OPERATORS[name](x)
    assert (y.dtype, y.shape) == (dtype, x.shape)


@pytest.mark.parametrize("name", OPERATORS)
def test_pickle_and_copy_by_name(name):
    operator = OPERATORS[name]
    assert operator.name == name
    assert pickle.loads(pickle.dumps(operator)) is operator
    assert copy.deepcopy(operator) is operator
    assert copy.copy(operator) is operator


def test_unknown_operator_lists_the_choices():
    with pytest.raises(UnknownNameError, match=r"Unknown operator 'swich'. Did you mean 'swish'\?.*tanhsoft1"):
        get_operator("swich")


def test_table_cannot_be_changed():
    with pytest.raises(TypeError):
        OPERATORS["relu"] = OPERATORS["tanh"]  # type: ignore[index]
    with pytest.raises(TypeError):
        OPERATORS["elu"].constants["a"] = 2.0  # type: ignore[index]
