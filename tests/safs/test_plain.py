import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from safs.masks import prunable_weights
from safs.plain import make_plain, parametrized_names
from safs.sites import find_sites
from spaces.errors import SafsError


def net():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.triu() + weight.triu(1).mT


class Fails(nn.Module):
    def forward(self, weight):
        if getattr(self, "armed", False):
            raise ValueError("no inverse\nof this")
        return weight


WAYS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight_norm": weight_norm,
    "old spectral_norm": spectral_norm,
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    "prune twice": lambda layer: prune.random_unstructured(
        prune.l1_unstructured(layer, "weight", amount=0.2), "weight", amount=0.2
    ),
    "prune a bias": lambda layer: prune.random_unstructured(layer, "bias", amount=2),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_a_computed_weight_becomes_a_parameter_of_the_same_value(way, training):
    model = net()
    names = list(model.state_dict())
    WAYS[way](model[0])
    x = torch.linspace(-1, 1, 12).reshape(2, 6)
    expected = model.eval()(x).detach()
    assert make_plain(model.train(training)) is model
    assert sorted(model.state_dict()) == sorted(names)
    assert isinstance(model[0].weight, nn.Parameter)
    assert type(model[0]) is nn.Linear
    torch.testing.assert_close(model(x), expected)
    assert all(module.training == training for module in model.modules())
    assert set(prunable_weights(model)) == {"0.weight", "2.weight"}
    copied = copy.deepcopy(model)
    model(x).sum().backward()
    assert model[0].weight.grad is not None
    assert len(find_sites(copied, (6,))) == 1


def test_several_parametrizations_of_one_layer():
    layer = nn.Linear(4, 4)
    for name in ("weight", "bias"):
        parametrize.register_parametrization(layer, name, Symmetric() if name == "weight" else nn.Identity())
    parametrize.register_parametrization(layer, "weight", nn.Tanh())
    model = nn.Sequential(layer)
    assert parametrized_names(model) == ["0.parametrizations.weight.original", "0.parametrizations.bias.original"]
    weight = layer.weight.detach().clone()
    make_plain(model)
    assert parametrized_names(model) == []
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.weight, layer.weight.mT)


def test_a_plain_network_is_left_as_it_is():
    model = net()
    before = {name: (parameter, parameter.detach().clone()) for name, parameter in model.named_parameters()}
    make_plain(model)
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_a_parametrization_that_fails_is_one_line():
    model = net()
    parametrize.register_parametrization(model[2], "weight", Fails())
    model[2].parametrizations.weight[0].armed = True
    with pytest.raises(
        SafsError, match=r"weights of '2' cannot be made plain \(no inverse\); call .*in the factory"
    ) as caught:
        make_plain(model)
    assert "\n" not in str(caught.value)
