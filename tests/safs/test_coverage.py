"""What `python -m benchmarks.coverage` compares: the sites found, and the activation calls noted at run time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.counting import activation_calls
from safs.sites import find_sites


class Calls(nn.Module):
    """Calls activations by a module, a function and a method, writes two out, and has a gate."""

    def __init__(self):
        super().__init__()
        self.fc, self.act, self.gate = nn.Linear(4, 4), nn.GELU("tanh"), nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())

    def forward(self, x):
        x = F.leaky_relu(self.act(self.act(self.fc(x)))).tanh() * self.gate(x)
        x = self.fc(x)
        return 0.5 * x * (1 + torch.erf(x / 2**0.5)) + x * torch.sigmoid(x)


NOTED = [
    ("act", "gelu"), ("act", "gelu"), ("leaky_relu", "leaky_relu"), ("tanh", "tanh"), ("gate.1", "sigmoid"),
    ("erf", "erf"), ("sigmoid", "sigmoid"),
]  # fmt: skip


def test_calls_are_noted_in_order_by_name_and_operator():
    model = Calls()
    assert activation_calls(model, torch.zeros(2, 4)) == NOTED
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        (NOTED, ""),
        (NOTED[1:], "1 of 6 calls not noted, first act as gelu_tanh"),
        ([*NOTED, ("other", "relu")], "1 of 8 calls not found, first other as relu"),
        (
            [*NOTED[:4], ("gate.2", "sigmoid"), *NOTED[5:]],
            "1 of 7 calls not noted, first gate.1 as sigmoid; 1 of 7 calls not found, first gate.2 as sigmoid",
        ),
        (
            [*NOTED[:3], ("tanh", "relu"), *NOTED[4:]],
            "1 of 7 calls not noted, first tanh as tanh; 1 of 7 calls not found, first tanh as relu",
        ),
    ],
)
def test_names_and_operators_are_compared(noted, expected):
    pytest.importorskip("timm")
    from benchmarks.coverage import difference

    assert difference(find_sites(Calls(), (4,)), noted) == expected
