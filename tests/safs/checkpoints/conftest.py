"""What the tests of checkpoints share: a small network, one that is pruned, and what a file comes to."""

import copy

import pytest
import torch
from torch import nn

from safs.checkpoints import load_into
from safs.masks import apply_mask
from safs.pruning import prune
from spaces.errors import SafsError


def make_small(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


@pytest.fixture(scope="session")
def small():
    """Returns a new network of two layers with weights, the values drawn from a seed."""
    return make_small


@pytest.fixture
def pruned():
    """That network with half of its weights pruned, and its mask."""
    model = make_small(1)
    mask = prune(model, 0.5)
    apply_mask(model, mask)
    return model, mask


@pytest.fixture
def rejects():
    """Checks that a file is refused in one line that names it and leaves the network as it was; returns the line."""

    def check(path, message, model=None, **options):
        model = model or make_small()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(SafsError, match=message) as caught:
            load_into(model, path, **options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)  # PyTorch's own advice is to run the file's code
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        return str(caught.value)

    return check


@pytest.fixture
def loads():
    """Checks that a file has exactly these weights, and this mask or none."""

    def check(path, state, mask=None, **options):
        model = make_small()
        got = load_into(model, path, **options)
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        if mask is None:
            assert got is None
        else:
            assert set(got) == set(mask)
            assert all(torch.equal(got[name], kept) for name, kept in mask.items())

    return check
