"""TAdam against the paper's equations, written out coordinate by coordinate in plain Python."""

import io
import math

import pytest
import torch
from torch.nn import Parameter

from safs.optim.tadam import TAdam
from spaces.errors import SafsError


class ByHand:
    """The paper's equations for one tensor whose every coordinate has a gradient."""

    def __init__(self, theta, lr, beta1=0.9, beta2=0.999, eps=1e-8, k_dof=1.0, weight_decay=0.0):
        self.theta, self.lr, self.eps, self.weight_decay = list(theta), lr, eps, weight_decay
        self.beta1, self.beta2 = beta1, beta2
        self.d = len(self.theta)
        self.nu = k_dof * self.d
        self.m, self.v, self.t = [0.0] * self.d, [0.0] * self.d, 0
        self.total = beta1 / (1 - beta1)

    def step(self, grad):
        self.t += 1
        grad = [g + self.weight_decay * x for g, x in zip(grad, self.theta, strict=True)]
        distance = sum((g - m) ** 2 / (v + self.eps) for g, m, v in zip(grad, self.m, self.v, strict=True))
        w = (self.nu + self.d) / (self.nu + distance)
        self.m = [(self.total * m + w * g) / (self.total + w) for m, g in zip(self.m, grad, strict=True)]
        self.v = [self.beta2 * v + (1 - self.beta2) * g * g for v, g in zip(self.v, grad, strict=True)]
        self.total = (2 * self.beta1 - 1) / self.beta1 * self.total + w
        for j in range(self.d):
            m_hat = self.m[j] / (1 - self.beta1**self.t)
            v_hat = self.v[j] / (1 - self.beta2**self.t)
            self.theta[j] -= self.lr * m_hat / (math.sqrt(v_hat) + self.eps)


GRADS = [[0.5, -1.0, 0.25, 2.0], [0.4, -0.8, 0.3, 1.5], [50.0, -0.9, 0.2, 1.0]]


def test_the_first_step_of_a_scalar():
    scalar = Parameter(torch.tensor(1.0, dtype=torch.float64))
    scalar.grad = torch.tensor(1.0, dtype=torch.float64)
    TAdam([scalar], lr=0.1, eps=1.0).step()
    # distance = 1/(0 + 1), w = 2/(1 + 1) = 1, W = 9: m = 1/10, so m̂ = 1; v̂ = 1, so the step is 0.1·1/(1 + 1).
    assert scalar.item() == pytest.approx(0.95)


@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 4, 1)])
@pytest.mark.parametrize("settings", [{}, {"eps": 0.1, "k_dof": 3.0}, {"betas": (0.5, 0.9), "weight_decay": 0.1}])
def test_three_steps_with_an_outlier(shape, settings):
    start = [1.0, -1.0, 0.5, 2.0]
    weight = Parameter(torch.tensor(start, dtype=torch.float64).reshape(shape))
    scalar = Parameter(torch.tensor(start[0], dtype=torch.float64))
    optimizer = TAdam([weight, scalar], lr=0.1, **settings)
    plain = {k: v for k, v in settings.items() if k != "betas"}
    beta1, beta2 = settings.get("betas", (0.9, 0.999))
    hand = ByHand(start, 0.1, beta1, beta2, **plain)
    hand_scalar = ByHand(start[:1], 0.1, beta1, beta2, **plain)
    for grad in GRADS:
        weight.grad = torch.tensor(grad, dtype=torch.float64).reshape(shape)
        scalar.grad = torch.tensor(grad[0], dtype=torch.float64)
        optimizer.step()
        hand.step(grad)
        hand_scalar.step(grad[:1])
        assert weight.flatten().tolist() == pytest.approx(hand.theta, rel=1e-9)
        assert scalar.item() == pytest.approx(hand_scalar.theta[0], rel=1e-9)


def test_masked_coordinates_neither_move_nor_count_as_evidence():
    dense, masked = Parameter(torch.tensor([1.0, 2.0])), Parameter(torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0]))
    optimizer = TAdam([dense, masked], lr=0.1, eps=1e-2)
    for first, second in ([0.5, -1.0], [0.4, -0.8], [30.0, -0.9]):
        dense.grad = torch.tensor([first, second])
        masked.grad = torch.tensor([first, 0.0, second, 0.0, 0.0])
        optimizer.step()
    assert masked[[1, 3, 4]].tolist() == [0.0, 0.0, 0.0]
    assert masked[[0, 2]].tolist() == pytest.approx(dense.tolist())


def test_an_all_zero_gradient_moves_nothing():
    weight = Parameter(torch.tensor([1.0, 2.0]))
    weight.grad = torch.zeros(2)
    optimizer = TAdam([weight], lr=0.1)
    for _ in range(3):
        optimizer.step()
    assert weight.tolist() == [1.0, 2.0]
    assert torch.isfinite(optimizer.state[weight]["weight"])


def test_with_many_degrees_of_freedom_it_is_adam():
    params = [Parameter(torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64)) for _ in range(2)]
    optimizers = [TAdam(params[:1], lr=0.1, k_dof=1e12, eps=1e-6), torch.optim.Adam(params[1:], lr=0.1, eps=1e-6)]
    for grad in GRADS:
        for param, optimizer in zip(params, optimizers, strict=True):
            param.grad = torch.tensor(grad, dtype=torch.float64)
            optimizer.step()
    assert params[0].tolist() == pytest.approx(params[1].tolist(), rel=1e-4)


def test_a_step_reads_nothing_back_from_the_device():
    # A fake tensor has no data: any `.item()` or branch on a value raises.
    with torch._subclasses.FakeTensorMode():
        params = [Parameter(torch.ones(3, 2)), Parameter(torch.ones(()))]
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer = TAdam(params, lr=0.1, weight_decay=0.1)
        optimizer.step()
        optimizer.step()


def run(optimizer_class, noise, steps=1500):
    weight = Parameter(torch.full((10,), 3.0))
    optimizer = optimizer_class([weight], lr=0.02)
    for k in range(steps):
        weight.grad = weight.detach() + noise[k]
        optimizer.step()
    return weight.norm().item()


def test_it_converges_on_a_quadratic():
    assert run(TAdam, torch.zeros(1500, 10)) < 1e-2


def test_it_is_more_robust_than_adam_to_heavy_tailed_gradients():
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        hit = torch.rand(1500, 1, generator=generator) < 0.1
        noise = torch.where(hit, 100.0 * (1 + torch.randn(1500, 10, generator=generator)), 0.0)
        assert run(TAdam, noise) < 0.5 * run(torch.optim.Adam, noise)


def test_a_restored_state_continues_bit_for_bit():
    def train(weight, optimizer, grads):
        for grad in grads:
            weight.grad = torch.tensor(grad)
            optimizer.step()

    straight = Parameter(torch.ones(4))
    first = TAdam([straight], lr=0.1)
    train(straight, first, GRADS[:2])
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    resumed = Parameter(straight.detach().clone())
    second = TAdam([resumed], lr=0.7)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    train(straight, first, GRADS[2:])
    train(resumed, second, GRADS[2:])
    assert torch.equal(straight, resumed)


@pytest.mark.parametrize("settings", [{"betas": (0.4, 0.9)}, {"betas": (0.9, 1.0)}, {"eps": 0.0}, {"k_dof": 0.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(SafsError, match="TAdam needs"):
        TAdam([Parameter(torch.ones(1))], **settings)
