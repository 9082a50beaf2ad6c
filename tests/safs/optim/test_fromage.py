"""Fromage against steps worked out by hand from the paper's update."""

import math

import pytest
import torch
from torch.nn import Parameter

from safs.optim.fromage import Fromage


def by_hand(weight: list[float], grad: list[float], lr: float) -> list[float]:
    size, slope = math.hypot(*weight), math.hypot(*grad)
    ratio = size / slope if size and slope else 1.0
    return [(w - lr * ratio * g) / math.sqrt(1 + lr**2) for w, g in zip(weight, grad, strict=True)]


def test_a_step_of_the_3_4_5_triangle():
    weight = Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([0.0, 10.0])
    Fromage([weight], lr=0.75).step()
    # ‖W‖/‖G‖ = 0.5, so W − 0.75·0.5·G = (3, 0.25), over √(1 + 0.5625) = 1.25.
    assert weight.tolist() == pytest.approx([2.4, 0.2])


@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 2, 2, 1)])
def test_three_steps_of_several_tensors_at_once(shape):
    values = [[0.5, -1.0, 2.0, 0.25], [3.0, 0.0, -0.5, 1.0]]
    grads = [[0.1, 0.2, -0.3, 5.0], [-2.0, 0.0, 0.7, 0.01]]
    params = [Parameter(torch.tensor(value).reshape(shape)) for value in values]
    optimizer = Fromage(params, lr=0.1)
    for k in range(3):
        for param, grad in zip(params, grads, strict=True):
            param.grad = (k + 1) * torch.tensor(grad).reshape(shape)
        optimizer.step()
        values = [by_hand(v, [(k + 1) * g for g in grad], 0.1) for v, grad in zip(values, grads, strict=True)]
        for param, value in zip(params, values, strict=True):
            assert param.flatten().tolist() == pytest.approx(value, rel=1e-5)


def test_where_a_norm_is_zero_the_step_is_a_plain_gradient_step():
    zero_weight, zero_grad, both = (Parameter(torch.tensor(v)) for v in ([0.0, 0.0], [1.0, -2.0], [0.0]))
    zero_weight.grad, zero_grad.grad, both.grad = torch.tensor([1.0, 2.0]), torch.zeros(2), torch.zeros(1)
    Fromage([zero_weight, zero_grad, both], lr=0.5).step()
    shrink = math.sqrt(1.25)
    assert zero_weight.tolist() == pytest.approx([-0.5 / shrink, -1.0 / shrink])
    assert zero_grad.tolist() == pytest.approx([1.0 / shrink, -2.0 / shrink])
    assert both.tolist() == [0.0]


def test_masked_zeros_stay_exactly_zero_even_with_a_vanishing_gradient():
    weight = Parameter(torch.tensor([0.0, 50.0]))
    weight.grad = torch.tensor([0.0, 1e-44])
    Fromage([weight], lr=0.1).step()
    assert weight[0].item() == 0.0
    assert torch.isfinite(weight).all()


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_scalar_moves_by_a_factor_that_does_not_depend_on_its_gradient(shape):
    for size in (1e-3, 1e3):
        scalar = Parameter(torch.full(shape, 2.0))
        scalar.grad = torch.full(shape, size)
        Fromage([scalar], lr=0.01).step()
        assert scalar.item() == pytest.approx(2.0 * 0.99 / math.sqrt(1.0001))


def test_parameters_without_a_gradient_are_left_alone():
    used, unused = Parameter(torch.ones(2)), Parameter(torch.ones(2))
    used.grad = torch.ones(2)
    Fromage([used, unused], lr=0.1).step()
    assert unused.tolist() == [1.0, 1.0]
    assert used.tolist() != [1.0, 1.0]


def test_a_step_reads_nothing_back_from_the_device():
    # A fake tensor has no data: any `.item()` or branch on a value raises.
    with torch._subclasses.FakeTensorMode():
        params = [Parameter(torch.ones(3, 2)), Parameter(torch.ones(()))]
        for param in params:
            param.grad = torch.ones_like(param)
        Fromage(params, lr=0.1).step()


def test_it_descends_a_quadratic_through_a_closure():
    target = torch.tensor([1.0, -2.0, 3.0])
    weight = Parameter(torch.ones(3))
    optimizer = Fromage([weight], lr=0.05)

    def loss() -> float:
        optimizer.zero_grad()
        value = (weight - target).square().sum()
        value.backward()
        return value

    first = optimizer.step(loss).item()
    for k in range(400):
        optimizer.param_groups[0]["lr"] = 0.05 * 0.99**k
        last = optimizer.step(loss)
    assert last.item() < 1e-2 * first


def test_its_state_dict_restores_the_learning_rate():
    weight = Parameter(torch.ones(2))
    state = Fromage([weight], lr=0.3).state_dict()
    restored = Fromage([weight], lr=0.1)
    restored.load_state_dict(state)
    assert restored.param_groups[0]["lr"] == 0.3
