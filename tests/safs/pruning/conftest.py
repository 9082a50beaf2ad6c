"""Small networks that pruning methods are tried on."""

import pytest
import torch
from torch import nn

from safs.data.dataset import Data


class Net(nn.Module):
    """A convolution, batch norm, an activation, and two linear layers, on 1×8×8 images."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), activation()
        self.hidden, self.act2, self.head = nn.Linear(6 * 36, 12), activation(), nn.Linear(12, 3)

    def forward(self, images):
        features = self.act(self.norm(self.conv(images))).flatten(1)
        return self.head(self.act2(self.hidden(features)))


@pytest.fixture
def make_net():
    """Returns a new network whose weights, and the statistics of its batch norm, are drawn from a seed."""

    def make(activation=nn.ReLU, seed=0):
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            net = Net(activation)
            for tensor in (net.norm.weight, net.norm.bias, net.norm.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(net.norm.running_var, 0.5, 2)
        return net.eval()

    return make


@pytest.fixture
def examples():
    """90 random images in three classes, of which the third has only 5."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 50 + [1] * 35 + [2] * 5)[torch.randperm(90, generator=generator)]
    return Data(torch.randn(90, 1, 8, 8, generator=generator), labels, 3)


@pytest.fixture(scope="session")
def count():
    """Returns how many weights a mask keeps, by layer."""
    return lambda mask: {name.removesuffix(".weight"): int(kept.sum()) for name, kept in mask.items()}
