"""Buffers that a forward pass reads, computes with and changes, through the surgery."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.sites import find_sites
from safs.surgery import apply_assignment
from spaces.operators import OPERATORS


class Scaled(nn.Module):
    """Computes with a buffer before it meets the input, as relative position biases do."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.act = nn.ReLU()
        self.register_buffer("scale", torch.ones(3))

    def forward(self, x):
        return self.act(self.fc(x)) * (2 * self.scale).view(1, -1)


class Counting(nn.Module):
    """Changes a buffer at every call."""

    def __init__(self, change):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.act = nn.ReLU()
        self.change = change
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.change(self)
        return self.act(self.fc(x)) * self.steps


def in_place(module):
    module.steps.add_(1)


def augmented(module):
    module.steps += 1


def assigned(module):
    module.steps = module.steps + 1


def test_what_is_computed_from_a_buffer_follows_it():
    network = apply_assignment(Scaled(), ["tanh"])
    assert list(network.state_dict()) == list(Scaled().state_dict())
    state = network.state_dict() | {"scale": torch.tensor([1.0, 5.0, 0.0])}
    network.load_state_dict(state)
    x = torch.randn(4, 3)
    expected = torch.tanh(F.linear(x, network.fc.weight, network.fc.bias)) * torch.tensor([2.0, 10.0, 0.0])
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("inside", [False, True], ids=["network", "block"])
@pytest.mark.parametrize("change", [in_place, augmented, assigned])
def test_buffers_that_change_go_on_changing(change, inside):
    model = nn.Sequential(nn.Linear(3, 3), Counting(change)) if inside else Counting(change)
    counting = model[1] if inside else model
    sites = find_sites(model, (3,))
    assert counting.steps == 0, "looking at a network changes it"
    network = apply_assignment(model, ["srs"], sites=sites)
    x = torch.randn(4, 3)
    for steps in (1, 2, 3):
        z = model[0](x) if inside else x
        torch.testing.assert_close(network(x), OPERATORS["srs"](counting.fc(z)) * steps)
    assert network.get_buffer("1.steps" if inside else "steps") == 3
    assert counting.steps == 0
