import copy
import pickle

import pytest
import torch
from torch.overrides import TorchFunctionMode

from spaces.activation import Activation
from spaces.errors import SafsError
from spaces.operators import OPERATORS
from spaces.scaled_relu import scaled_relu


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Calls(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [n for n, o in OPERATORS.items() if not o.adaptive])
def test_untrained_factors_of_1_cost_nothing(name):
    activation = Activation(OPERATORS[name], channels=3)
    assert list(activation.parameters()) == []
    assert activation.state_dict() == {}
    x = randn(2, 3)
    with Calls() as own:
        y = activation(x)
    with Calls() as bare:
        expected = OPERATORS[name](x)
    assert own.names == bare.names
    assert torch.equal(y, expected)


def test_a_factor_that_is_not_1_is_applied_and_not_trained():
    activation = Activation(OPERATORS["tanh"], alpha=2.0, beta=-0.5)
    x = randn(2, 3)
    assert torch.equal(activation(x), 2.0 * torch.tanh(-0.5 * x))
    assert [p.requires_grad for p in activation.parameters()] == [False, False]


@pytest.mark.parametrize("name", OPERATORS)
def test_learned_factors_start_as_the_operator(name):
    x = randn(5, 3)
    activation = Activation(OPERATORS[name], learn=True, channels=3)
    torch.testing.assert_close(activation(x), OPERATORS[name](x))
    assert len(list(activation.parameters())) == 2 + len(OPERATORS[name].constants)
    assert all(p.requires_grad for p in activation.parameters())


@pytest.mark.parametrize(
    ("shape", "dim"), [((4, 3), 1), ((4, 3), -1), ((4, 3, 5), 1), ((4, 5, 3), -1), ((4, 3, 5, 2), 1)]
)
@pytest.mark.parametrize("name", ["relu", "srs"])
def test_factors_per_channel(name, shape, dim):
    alpha, beta = [1.0, 2.0, 0.5], [0.3, -1.0, 1.0]
    x = randn(*shape)
    y = Activation(OPERATORS[name], alpha=alpha, beta=beta, channels=3, channel_dim=dim)(x)
    for k in range(3):
        torch.testing.assert_close(y.select(dim, k), alpha[k] * OPERATORS[name](beta[k] * x.select(dim, k)))


@pytest.mark.parametrize("alpha", [2.0, [2.0, 0.5, 1.5]])
@pytest.mark.parametrize("beta", [0.5, [0.5, -2.0, 1.0]])
def test_one_factor_per_site_with_another_per_channel(alpha, beta):
    x = randn(4, 3, 2)
    y = Activation(OPERATORS["relu"], alpha=alpha, beta=beta, channels=3)(x)
    a, b = (torch.tensor(v).expand(3).view(1, 3, 1) for v in (alpha, beta))
    torch.testing.assert_close(y, a * torch.relu(b * x))


def test_per_channel_learns_one_value_for_each():
    activation = Activation(OPERATORS["srs"], learn=True, channels=4, per_channel=True)
    assert {name: tuple(p.shape) for name, p in activation.named_parameters()} == {
        "alpha": (4,), "beta": (4,), "constant_a": (4,), "constant_b": (4,),
    }  # fmt: skip


def test_srelu_is_per_channel_and_trained_by_its_definition():
    activation = Activation(OPERATORS["srelu"], channels=4)
    assert {name: tuple(p.shape) for name, p in activation.named_parameters()} == {
        f"constant_{name}": (4,) for name in ("t_left", "a_left", "t_right", "a_right")
    }
    assert all(p.requires_grad for p in activation.parameters())


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "symexp"])
def test_gradients(name, per_channel):
    x = randn(3, 2, seed=4) * 2
    x.requires_grad_()
    activation = Activation(OPERATORS[name], alpha=1.3, beta=-0.7, learn=True, channels=2, per_channel=per_channel)
    names, parameters = zip(*activation.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(activation, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *parameters))


@pytest.mark.parametrize("alpha", [1.0, -0.6, 0.0])
@pytest.mark.parametrize("beta", [1.0, 0.4, -1.7])
def test_scaled_relu_gradients(alpha, beta):
    x = randn(3, 4, seed=1).requires_grad_()
    a, b = (torch.tensor(v, requires_grad=True) for v in (alpha, beta))
    assert torch.autograd.gradcheck(scaled_relu, (x, a, b))
    torch.testing.assert_close(scaled_relu(x, a, b), a * torch.relu(b * x))


@pytest.mark.parametrize("beta", [1.0, -2.0, 0.0])
def test_scaled_relu_is_automatic_differentiation_with_fewer_passes(beta):
    def gradients(function):
        x = randn(3, 4, seed=1).requires_grad_()
        a, b = torch.tensor(1.5, requires_grad=True), torch.tensor(beta, requires_grad=True)
        y = function(x, a, b)
        y.sum().backward()  # an expanded gradient, as sums give
        return y, x.grad, a.grad, b.grad

    for own, expected in zip(gradients(scaled_relu), gradients(lambda x, a, b: a * torch.relu(b * x)), strict=True):
        torch.testing.assert_close(own, expected)


def test_scaled_relu_refuses_second_derivatives():
    x = randn(3).requires_grad_()
    a, b = (torch.tensor(1.5, requires_grad=True) for _ in range(2))
    (gradient,) = torch.autograd.grad((scaled_relu(x, a, b) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_describe_round_trip(name, per_channel):
    torch.set_default_dtype(torch.float32)
    learned = Activation(OPERATORS[name], learn=True, channels=3, per_channel=per_channel)
    with torch.no_grad():
        for k, p in enumerate(learned.parameters()):
            p.add_(0.1 * (k + 1) * torch.rand(p.shape, generator=torch.Generator().manual_seed(k)))
    described = learned.describe()
    again = Activation(
        OPERATORS[described["operator"]],
        alpha=described["alpha"], beta=described["beta"], constants=described["constants"], channels=3,
    )  # fmt: skip
    x = randn(4, 3, 2, dtype=torch.float32)
    assert torch.equal(again(x), learned(x))
    assert again.describe() == described


def test_describe_of_what_was_not_trained():
    assert Activation(OPERATORS["srs"]).describe() == {
        "operator": "srs", "alpha": 1.0, "beta": 1.0, "constants": {"a": 5.0, "b": 3.0},
    }  # fmt: skip


def test_copies_and_pickles():
    activation = Activation(OPERATORS["srs"], learn=True, alpha=1.5, channels=2)
    x = randn(2, 2)
    for other in (copy.deepcopy(activation), pickle.loads(pickle.dumps(activation))):
        assert torch.equal(other(x), activation(x))
        with torch.no_grad():
            other.alpha.fill_(9.0)
    assert activation.alpha == 1.5


def test_unknown_constant():
    with pytest.raises(SafsError, match=r"'srs' has the constants \['a', 'b'\], not \['slope'\]"):
        Activation(OPERATORS["srs"], constants={"slope": 1.0})


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("values", [[1.0, 2.0], [2.0]])
def test_wrong_number_of_values(per_channel, values):
    with pytest.raises(SafsError, match=f"alpha needs one value for each of 3 channels, but got {len(values)}"):
        Activation(OPERATORS["relu"], alpha=values, channels=3, per_channel=per_channel)


@pytest.mark.parametrize(("name", "per_channel"), [("relu", True), ("srelu", False)])
def test_values_per_channel_need_their_number(name, per_channel):
    with pytest.raises(SafsError, match="need the number of channels"):
        Activation(OPERATORS[name], learn=True, per_channel=per_channel)
