"""Each schedule against its closed form, on two parameter groups with rates of their own."""

import math

import pytest
import torch
from torch.nn import Parameter

from safs.optim.schedules import SCHEDULES, make_schedule
from spaces.errors import SafsError
from spaces.hyperparameters import SCHEDULES as SPACE_SCHEDULES

BASES = (0.1, 1e-5)


def rates(name, epochs, costs=None, **options):
    """Return, for each group, the learning rate of every epoch."""
    params = [Parameter(torch.ones(1)) for _ in BASES]
    optimizer = torch.optim.SGD([{"params": [p], "lr": lr} for p, lr in zip(params, BASES, strict=True)])
    schedule = make_schedule(name, optimizer, epochs, **options)
    seen = []
    for epoch in range(epochs):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step(costs[epoch] if costs else 1.0 / (epoch + 1))
    return list(zip(*seen, strict=True))


def restarts(base, epoch, epochs):
    floor, period = min(5e-5, base), max(1, epochs // 4)
    return floor + (base - floor) * (1 + math.cos(math.pi * (epoch % period) / period)) / 2


CLOSED_FORMS = {
    "constant": lambda b, _e, _n: b,
    "step": lambda b, e, n: b * (0.01 if 4 * e >= 3 * n else 0.1 if 2 * e >= n else 1.0),
    "linear": lambda b, e, n: b * (1 - e / n),
    "cosine": lambda b, e, n: b * (1 + math.cos(math.pi * e / n)) / 2,
    "halving": lambda b, e, _n: b * 0.5 ** (e // 20),
    "reduce_on_plateau": lambda b, _e, _n: b,
    "cosine_restarts": restarts,
}


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 12, 45])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_rates_follow_the_closed_form(name, epochs):
    for base, sequence in zip(BASES, rates(name, epochs), strict=True):
        expected = [CLOSED_FORMS[name](base, epoch, epochs) for epoch in range(epochs)]
        assert sequence == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("epochs", "options", "period"), [(20, {}, 5), (50, {"restart_period": 12}, 12)])
def test_the_restarts_are_those_of_torch(epochs, options, period):
    optimizer = torch.optim.SGD([Parameter(torch.ones(1))], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=period, eta_min=5e-5)
    expected = []
    for _ in range(epochs):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates("cosine_restarts", epochs, **options)[0] == pytest.approx(expected)


def test_a_plateau_of_more_than_two_epochs_cuts_the_rate_to_a_twentieth():
    costs = [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    fast, slow = rates("reduce_on_plateau", 8, costs)
    assert fast == pytest.approx([0.1] * 5 + [0.005] * 3)
    assert slow == pytest.approx([1e-5] * 5 + [5e-7] * 3)


def test_a_fall_within_the_threshold_is_no_improvement():
    costs = [1.0 - 1e-5 * epoch for epoch in range(6)]
    assert rates("reduce_on_plateau", 6, costs)[0] == pytest.approx([0.1] * 4 + [0.005] * 2)


def test_the_names_are_those_of_the_space():
    assert tuple(SCHEDULES) == SPACE_SCHEDULES == tuple(CLOSED_FORMS)


def test_bad_requests_are_refused():
    optimizer = torch.optim.SGD([Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(SafsError, match="Did you mean 'cosine'"):
        make_schedule("cosin", optimizer, 3)
    with pytest.raises(SafsError, match="at least 1 epoch, but got 0"):
        make_schedule("cosine", optimizer, 0)
    with pytest.raises(SafsError, match="at least 1 epoch, but got -1"):
        make_schedule("cosine_restarts", optimizer, 3, restart_period=-1)
