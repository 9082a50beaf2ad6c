import pytest
import torch
from torch import nn

from safs.masks import apply_mask
from safs.models.efficientnet import StochasticDepth
from safs.models.registry import make_model, usual_input_shape
from safs.pruning import prune
from safs.sites import find_sites
from safs.surgery import apply_assignment
from spaces.errors import SafsError
from spaces.operators import PAPER_OPERATORS

NAME = "efficientnet-b0-small"
UNREGULARISED = {"dropout": 0.0, "stochastic_depth": 0.0}


def images(size, n=2, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def torchvisions(**kwargs):
    return make_model("torchvision/efficientnet_b0", {"num_classes": 10, **kwargs}, seed=1)


def test_it_has_torchvisions_parameters_in_torchvisions_order():
    ours, theirs = make_model(NAME, {"num_classes": 10}, seed=0).state_dict(), torchvisions().state_dict()
    assert [(name, tensor.shape) for name, tensor in ours.items()] == [(n, t.shape) for n, t in theirs.items()]


def test_with_torchvisions_strides_and_weights_it_computes_the_same():
    theirs = torchvisions(dropout=0.0, stochastic_depth_prob=0.0).train()
    ours = make_model(NAME, {"num_classes": 10, "strides": [2, 1, 2, 2, 2, 1, 2, 1], **UNREGULARISED}, seed=0).train()
    ours.load_state_dict(theirs.state_dict())
    batch = images(64, n=4)
    logits = ours(batch)
    assert torch.equal(logits, theirs(batch))
    assert logits.std() > 0.01
    for name, module in theirs.named_modules():
        if isinstance(module, nn.Conv2d):
            assert ours.get_submodule(name).stride == module.stride


@pytest.mark.parametrize(("size", "last"), [(16, 2), (32, 4)])
def test_small_images_keep_more_than_one_pixel_to_the_end(size, last):
    sites = find_sites(make_model(NAME, seed=0), (3, size, size))
    assert sites.original == ("swish",) * 49
    assert sites.sites[0].shape == (32, size, size)
    assert sites.sites[-1].shape == (1280, last, last)
    assert [gate.operator for gate in sites.gates] == ["sigmoid"] * 16
    assert usual_input_shape(NAME) == (3, 16, 16)


def test_pruned_with_a_mixed_assignment_it_has_finite_gradients_at_every_weight():
    model = make_model(NAME, {"num_classes": 10}, seed=0)
    apply_mask(model, prune(model, 0.9))
    sites = find_sites(model, (3, 16, 16))
    calm = [name for name in PAPER_OPERATORS if name != "symexp"]
    network = apply_assignment(model, [calm[k % len(calm)] for k in range(49)], sites=sites, learn=True).train()
    network(images(16, n=8)).logsumexp(1).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    layer = StochasticDepth(0.25).train()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        y = layer(torch.ones(4000, 2, 3, 3))
    kept = y[:, 0, 0, 0]
    assert torch.equal(y, kept.view(-1, 1, 1, 1).expand_as(y))
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(y.mean()) == pytest.approx(1.0, abs=0.04)
    assert torch.equal(layer.eval()(torch.ones(5, 2, 3, 3)), torch.ones(5, 2, 3, 3))


def test_the_drop_rate_grows_linearly_with_depth():
    model = make_model(NAME, {"stochastic_depth": 0.32}, seed=0)
    rates = [module.drop.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.02 * k for k in (2, 4, 6, 7, 9, 10, 12, 13, 14)])


def test_surgery_keeps_the_regularisation_of_training():
    """The traced network drops examples in training, with the same draws, and nothing in evaluation."""
    model = make_model(NAME, {"num_classes": 10}, seed=0)
    traced = apply_assignment(model, find_sites(model, (3, 16, 16)).original, input_shape=(3, 16, 16))
    outputs = []
    for network in (model.train(), traced.train()):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            outputs.append(network(images(16)))
            assert not torch.equal(network(images(16)), outputs[-1])
    assert torch.equal(*outputs)
    assert torch.equal(traced.eval()(images(16)), model.eval()(images(16)))


def test_a_wrong_number_of_strides_is_one_line():
    with pytest.raises(SafsError, match="strides must be 8 numbers, of the stem and the stages, but got"):
        make_model(NAME, {"strides": [1, 2]}, seed=0)
