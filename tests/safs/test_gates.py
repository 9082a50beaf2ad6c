"""Gates whose sigmoid and product lie in different parts of a network, or in code that torch.fx cannot trace."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.sites import find_sites


class Python(nn.Module):
    """Cannot be traced: branches on the size of its input."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function, self.fc = function, nn.Linear(4, 4)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x) if len(x) < 1000 else x


class Traced(nn.Module):
    """A function of a linear layer's output, which is a graph of its own."""

    def __init__(self, function):
        super().__init__()
        self.function, self.fc = function, nn.Linear(4, 4)

    def forward(self, x):
        return self.function(self.fc(x))


class HardSigmoid(nn.Module):
    """As networks before PyTorch 1.5 have it."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x):
        return self.relu(x + 3) / 6


class Sigmoid(nn.Module):
    """Calls the function."""

    def forward(self, x):
        return torch.sigmoid(x)


def in_two(net, x):
    return torch.cat([piece * x[:, :2] for piece in net.part(x).split(2, 1)], 1)


def in_columns(net, x):
    return torch.stack([column * x[:, 0] for column in net.part(x).unbind(1)], 1)


def sum_of_pieces(net, x):
    a, b = net.part(x).chunk(2, 1)
    return a + b


CASES = {
    "a gate": (lambda n, x: x * n.part(x), Traced(torch.sigmoid), [], [("part.sigmoid", "sigmoid")]),
    "a sigmoid": (lambda n, x: n.part(x) + x, Traced(torch.sigmoid), [("part.sigmoid", "sigmoid")], []),
    "a hard gate": (
        lambda n, x: x * n.part(x), Traced(lambda x: F.relu6(x + 3) / 6), [], [("part.relu6", "hardsigmoid")],
    ),
    "a hard gate, divided later": (
        lambda n, x: n.part(x) * x / 6, Traced(lambda x: F.relu6(x + 3)), [], [("part.relu6", "hardsigmoid")],
    ),
    "a hard gate of a module": (lambda n, x: x * n.part(n.fc(x)), HardSigmoid(), [], [("part.relu", "hardsigmoid")]),
    "a hard sigmoid": (lambda n, x: n.part(n.fc(x)), HardSigmoid(), [("part.relu", "relu6")], []),
    "a relu6 that multiplies": (lambda n, x: x * n.part(n.fc(x)), nn.ReLU6(), [("part", "relu6")], []),
    "in two": (in_two, Traced(torch.sigmoid), [], [("part.sigmoid", "sigmoid")]),
    "in columns": (in_columns, nn.Sigmoid(), [], [("part", "sigmoid")]),
    "a sum of pieces": (sum_of_pieces, nn.Sigmoid(), [("part", "sigmoid")], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_sites_and_gates(case):
    function, part, expected, gates = CASES[case]
    sites = find_sites(Python(function, part=part), (4,))
    assert [(site.name, site.operator) for site in sites] == expected
    assert [(gate.name, gate.operator) for gate in sites.gates] == gates
    assert (sites.traced, sites.fixed) == ("leaves", ())


@pytest.mark.parametrize(("part", "name"), [(Sigmoid(), "part.sigmoid"), (HardSigmoid(), "part.relu")])
def test_part_of_a_swish_is_neither_site_nor_gate(part, name):
    sites = find_sites(Python(lambda net, x: x * net.part(x), part=part), (4,))
    assert (sites.names, sites.gates) == ((), ())
    assert [(call.name, call.reason) for call in sites.fixed] == [
        (name, "it is part of an activation that is written out")
    ]


def test_a_clamp_in_python_code_is_nothing():
    sites = find_sites(Python(lambda net, x: net.fc(x).clamp(min=0)), (4,))
    assert (sites.names, sites.gates, sites.fixed) == ((), (), ())
