"""Networks with layers that ask of which version a state dict is; a file does not say."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from safs.checkpoints import load_into, save_checkpoint
from safs.data.dataset import Data
from safs.export import load_best, write_best
from safs.masks import apply_mask, prunable_weights
from safs.pruning import prune
from safs.sites import find_sites
from safs.state import load_state
from safs.surgery import apply_assignment, read_choices
from safs.trial import Problem

MODELS = {
    "mnasnet": lambda: torchvision.models.mnasnet0_5(num_classes=4),
    "transformer": lambda: torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=4),
    "frozen": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), torchvision.ops.FrozenBatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
}


@pytest.fixture(params=MODELS)
def built(request):
    """A pruned network, its mask, and another one of its class."""
    torch.manual_seed(0)
    model, other = MODELS[request.param](), MODELS[request.param]()
    for weight in prunable_weights(model).values():
        nn.init.kaiming_normal_(weight)  # the transformer's head is all zeros
    mask = prune(model, 0.5)
    apply_mask(model, mask)
    return model, mask, other


def same(model, other):
    found = other.state_dict()
    return all(torch.equal(tensor, found[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_it_comes_back_from_a_checkpoint(tmp_path, built, name):
    model, mask, other = built
    save_checkpoint(tmp_path / name, model, mask)
    assert not same(model, other)
    found = load_into(other, tmp_path / name)
    assert same(model, other)
    assert all(torch.equal(found[name], kept) for name, kept in mask.items())


def test_it_comes_back_from_best(tmp_path, built):
    model, mask, other = built
    data = Data(torch.randn(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64), 4)
    problem = Problem(model, mask, find_sites(model, (3, 32, 32)), data)
    network = apply_assignment(model, ["srs"] * len(problem.sites), sites=problem.sites)
    choices = read_choices(network, problem.sites)
    write_best(tmp_path, problem, network.state_dict(), choices, {"name": "my:own", "kwargs": {}})
    loaded = load_best(tmp_path, other)
    with torch.no_grad():
        assert torch.equal(loaded(data.images), network.eval()(data.images))


def test_the_versions_are_the_networks_own(built):
    """A trained network's tensors, as `safetensors` gives them back: no more than a dictionary."""
    model, _, other = built
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = copy.deepcopy(state)
    load_state(other, state)
    assert same(model, other)
    assert state.keys() == before.keys()
    with pytest.raises(RuntimeError, match="Missing key"):
        load_state(other, dict(list(state.items())[1:]))
