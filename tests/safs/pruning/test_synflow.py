import copy
import math

import pytest
import torch
import torchvision
from torch import nn

from safs.models.lenet import LeNet5
from safs.models.resnet import ResNet20
from safs.pruning import prune
from safs.pruning.synflow import SynapticFlow
from spaces.errors import SafsError


def ones(flow):
    return {name: torch.ones_like(size, dtype=torch.bool) for name, size in flow.magnitudes.items()}


def scores(model, shape, mask=None):
    flow = SynapticFlow(model, shape)
    return flow.scores(mask or ones(flow))


def mlp(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), activation(), nn.Linear(4, 3), activation(), nn.Linear(3, 2))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Softplus, nn.PReLU, nn.ReLU6])
def test_the_score_is_the_flow_through_a_weight_whatever_the_activation(activation):
    """Against R = 1ᵀ|W3||W2||W1|1: a weight's share is what comes in, times it, times what goes on."""
    model = mlp(activation)
    first, second, third = (model[place].weight.detach().double().abs() for place in (0, 2, 4))
    found = scores(model, (5,))
    into, on = first.sum(1), third.sum(0)
    torch.testing.assert_close(found["0.weight"], first * (on @ second)[:, None])
    torch.testing.assert_close(found["2.weight"], on[:, None] * second * into[None, :])
    torch.testing.assert_close(found["4.weight"], third * (second @ into)[None, :])


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid])
def test_every_layer_carries_the_same_flow(activation, make_net):
    """The paper's Theorem of layer-wise conservation; batch norm scales, and neither shifts nor biases count."""
    model = make_net(activation)
    found = scores(model, (1, 8, 8))
    sums = [float(score.sum()) for score in found.values()]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-9)
    for tensor in (model.norm.bias, model.norm.running_mean, model.conv.bias, model.head.bias):
        tensor.data.normal_()
    again = scores(model, (1, 8, 8))
    assert all(torch.equal(found[name], again[name]) for name in found)
    model.norm.weight.data.mul_(-3)
    scaled = scores(model, (1, 8, 8))
    torch.testing.assert_close(scaled["conv.weight"], 3 * found["conv.weight"])


def test_the_network_is_not_changed(make_net):
    model = make_net().train()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    prune(model, 0.9, method="synflow", input_shape=(1, 8, 8), options={"rounds": 5})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("ratio", [0.9, 0.999, 0.9998])
def test_no_layer_collapses_before_it_must(ratio, count):
    """Down to 9 weights for 5 layers: magnitude empties whole layers there, synaptic flow none."""
    torch.manual_seed(0)
    model = LeNet5()
    mask = prune(model, ratio, method="synflow", input_shape=(1, 28, 28))
    assert sum(count(mask).values()) == 44_190 - math.floor(ratio * 44_190)
    assert min(count(mask).values()) >= 1
    masked = {name: score * mask[name] for name, score in scores(model, (1, 28, 28), mask).items()}
    assert all(float(score.sum()) > 0 for score in masked.values()), "the flow still passes"
    if ratio > 0.999:
        assert min(count(prune(model, ratio, scope="global")).values()) == 0


def test_one_round_is_not_a_hundred(count):
    torch.manual_seed(0)
    model = LeNet5()
    one, many = (
        prune(model, 0.99, method="synflow", input_shape=(1, 28, 28), options={"rounds": rounds}) for rounds in (1, 100)
    )
    assert count(one) != count(many)
    assert sum(count(one).values()) == sum(count(many).values())


class Gated(nn.Module):
    """A squeeze-and-excitation block between two convolutions."""

    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Linear(8, 3)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.gate = nn.Sigmoid()

    def forward(self, images):
        features = self.relu(self.first(images))
        opened = self.gate(self.excite(torch.relu(self.squeeze(features.mean((2, 3), keepdim=True)))))
        return self.last((features * opened).mean((2, 3)))


def test_a_gate_is_open_and_its_weights_share_the_flow_that_passes_it():
    """Left as it is, a sigmoid of large flows is 1 without a slope: its weights would all be the first to go."""
    torch.manual_seed(0)
    model = Gated()
    found = scores(model, (1, 6, 6))
    sums = {name: float(score.sum()) for name, score in found.items()}
    assert list(sums.values()) == pytest.approx([sums["first.weight"]] * 4, rel=1e-9)
    assert all(bool((score > 0).all()) for score in found.values())
    without = nn.Sequential(model.first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.last)
    torch.testing.assert_close(found["first.weight"], scores(without, (1, 6, 6))["0.weight"])


def test_a_gate_that_nothing_opens_has_no_share():
    torch.manual_seed(0)
    model = Gated()
    mask = {
        name: torch.ones_like(size, dtype=torch.bool)
        for name, size in SynapticFlow(model, (1, 6, 6)).magnitudes.items()
    }
    mask["squeeze.weight"][:] = False
    found = scores(model, (1, 6, 6), mask)
    assert all(bool(torch.isfinite(score).all()) for score in found.values())
    assert float(found["excite.weight"].sum()) == 0.0


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_torchvision(name):
    """Residual sums, gates and layer norm: every layer has a flow, and every score is a finite number."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=10)
    found = scores(model, (3, 32, 32))
    assert all(bool(torch.isfinite(score).all()) for score in found.values())
    assert all(float(score.sum()) > 0 for score in found.values())


def test_the_flow_still_passes_beside_a_skip_connection(count):
    """A layer that is not the only way through may be emptied: not so the way itself."""
    torch.manual_seed(0)
    model = ResNet20()
    mask = prune(model, 0.999, method="synflow", input_shape=(3, 16, 16), options={"rounds": 20})
    total = sum(kept.numel() for kept in mask.values())
    assert sum(count(mask).values()) == total - math.floor(0.999 * total)
    found = scores(model, (3, 16, 16), mask)
    assert float(found["fc.weight"].sum()) == pytest.approx(float(found["conv1.weight"].sum()), rel=1e-9)
    assert float(found["fc.weight"].sum()) > 0


def test_a_network_that_ends_in_probabilities():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.LogSoftmax(1))
    found = scores(model, (5,))
    torch.testing.assert_close(found["0.weight"], scores(model[:3], (5,))["0.weight"])


def test_frozen_and_half_precision_weights():
    model = mlp(nn.ReLU).requires_grad_(False).half()
    mask = prune(model, 0.5, method="synflow", input_shape=(5,))
    assert sum(int(kept.sum()) for kept in mask.values()) == 19
    assert model[0].weight.dtype == torch.float16


def test_a_network_that_carries_no_flow():
    model = mlp(nn.ReLU)
    model[2].weight.data.zero_()
    with pytest.raises(SafsError, match="no flow from its input to its logits"):
        prune(model, 0.5, method="synflow", input_shape=(5,))


def test_input_of_the_wrong_shape():
    with pytest.raises(SafsError, match=r"does not take input of shape \(7,\)"):
        prune(mlp(nn.ReLU), 0.5, method="synflow", input_shape=(7,))
