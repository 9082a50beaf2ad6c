import copy
import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

from safs.folding import fold
from safs.masks import apply_mask, violations
from safs.pruning import prune
from safs.sites import find_sites
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment
from spaces.activation import Activation
from spaces.errors import SafsError

SHAPE = (4, 8, 8)


class Net(nn.Module):
    """Layers by name, and a forward pass of them."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.run(self, x)


def spread(model, seed=0):
    """Give the batch norms of a network statistics and weights of their own, and return it in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0.0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.3, generator=generator)
    return model.eval()


def make(forward, **layers):
    """Return a network with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for layer in layers.values():
            for module in layer.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
    return spread(Net(forward, **layers))


def difference(network, other, shape):
    """Return the largest difference of two networks' outputs, relative to the largest output."""
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = network(x.clone()), other(x.clone())
    return float((got - expected).abs().max() / expected.abs().max())


def folded(model, choices, shape=SHAPE):
    """Fold a network with these operators and factors; check that outputs stay and the original is not changed."""
    sites = find_sites(model, shape)
    network = apply_assignment(model, choices, sites=sites).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result = fold(network, shape, sites.names)
    assert difference(network, result.network, shape) <= 1e-5
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not [name for name in result.network.state_dict() if name not in before]
    return result


def left(result):
    """Return what was not folded: pairs of site and factor."""
    return {(one.site, one.factor) for one in result.unfolded}


def factors(result):
    """Return the factors that the activations of a folded network still have."""
    activations = [module for module in result.network.modules() if isinstance(module, Activation)]
    return [factor for one in activations for factor in (one.alpha, one.beta) if factor is not None]


def numbers(count, seed, *, negative=False):
    generator = random.Random(seed)
    return [generator.uniform(0.4, 1.8) * (generator.choice([-1, 1]) if negative else 1) for _ in range(count)]


conv, norm = nn.Conv2d, nn.BatchNorm2d


def last(*results):
    """Return the last of several results, for those of which the others are computed in place."""
    return results[-1]


EXACT = {
    "batch norm": (lambda s, x: s.c(torch.tanh(s.b(s.a(x)))), {"a": conv(4, 6, 3), "b": norm(6), "c": conv(6, 2, 3)}),
    "no bias": (
        lambda s, x: s.c(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 3, bias=False), "c": conv(6, 2, 1, bias=False)},
    ),
    "padding": (
        lambda s, x: s.c(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 3, padding=2, padding_mode="reflect"), "c": conv(6, 2, 3, padding=1)},
    ),
    "groups": (
        lambda s, x: s.c(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 3, groups=2), "c": conv(6, 9, 3, groups=3)},
    ),
    "depthwise": (lambda s, x: s.c(torch.tanh(s.a(x))), {"a": conv(4, 8, 3, groups=4), "c": conv(8, 8, 3, groups=8)}),
    "transposed": (
        lambda s, x: s.c(torch.tanh(s.a(x))),
        {"a": nn.ConvTranspose2d(4, 6, 3, groups=2), "c": nn.ConvTranspose2d(6, 9, 3, groups=3, stride=2)},
    ),
    "flatten": (
        lambda s, x: s.c(torch.flatten(s.pool(torch.tanh(s.a(x))), 1)),
        {"a": conv(4, 6, 3), "pool": nn.AvgPool2d(2), "c": nn.Linear(54, 3)},
    ),
    "view": (
        lambda s, x: s.c(torch.tanh(s.a(x)).view(x.size(0), -1)),
        {"a": conv(4, 6, 3), "c": nn.Linear(216, 3)},
    ),
    "mean": (lambda s, x: s.c(torch.tanh(s.a(x)).mean((2, 3))), {"a": conv(4, 6, 3), "c": nn.Linear(6, 3)}),
    "channels last": (
        lambda s, x: s.c(torch.tanh(s.a(x.permute(0, 2, 3, 1)))),
        {"a": nn.Linear(4, 6), "c": nn.Linear(6, 3)},
    ),
    "from channels first to last": (
        lambda s, x: s.c(torch.tanh(s.a(x)).permute(0, 2, 3, 1)),
        {"a": conv(4, 6, 3), "c": nn.Linear(6, 3)},
    ),
    "max-pooling": (
        lambda s, x: s.c(F.max_pool2d(torch.tanh(s.a(x)), 2, padding=1)),
        {"a": conv(4, 6, 3), "c": conv(6, 2, 3)},
    ),
    "pooling before": (
        lambda s, x: s.c(torch.tanh(s.pool(s.a(x)))),
        {"a": conv(4, 6, 3), "pool": nn.MaxPool2d(2), "c": conv(6, 2, 3)},
    ),
    "dropout in place": (
        lambda s, x: s.c(s.d(torch.tanh(s.d(s.a(x))))),
        {"a": conv(4, 6, 3), "d": nn.Dropout(0.5, inplace=True), "c": conv(6, 2, 3)},
    ),
    "batch norm after": (
        lambda s, x: s.c(s.b(torch.tanh(s.a(x)))),
        {"a": conv(4, 6, 3), "b": norm(6), "c": conv(6, 2, 3)},
    ),
    "group norm before": (
        lambda s, x: s.c(torch.tanh(s.b(s.a(x)))),
        {"a": conv(4, 6, 3), "b": nn.GroupNorm(3, 6), "c": conv(6, 2, 3)},
    ),
    "layer norm before": (
        lambda s, x: s.c(torch.tanh(s.b(s.a(x.permute(0, 2, 3, 1))))),
        {"a": nn.Linear(4, 6), "b": nn.LayerNorm(6), "c": nn.Linear(6, 2)},
    ),
    "concatenation": (
        lambda s, x: s.c(torch.cat([s.a(x), torch.tanh(s.b(x)), F.max_pool2d(torch.sigmoid(s.e(x)), 3, 1, 1)], 1)),
        {"a": conv(4, 2, 1), "b": conv(4, 3, 1), "e": conv(4, 5, 1), "c": conv(10, 2, 3)},
    ),
    "concatenation before": (
        lambda s, x: s.c(torch.tanh(torch.cat([s.a(x), s.b(x)], 1))),
        {"a": conv(4, 2, 1), "b": conv(4, 3, 1), "c": conv(5, 2, 3)},
    ),
    "several readers": (
        lambda s, x: (lambda y: s.b(y) + s.c(F.avg_pool2d(y, 3, 1, 1)))(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 1), "b": conv(6, 2, 1), "c": conv(6, 2, 1)},
    ),
    "gated": (
        lambda s, x: (lambda y: s.c(y * torch.sigmoid(s.b(F.adaptive_avg_pool2d(y, 1)))))(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 1), "b": conv(6, 6, 1), "c": conv(6, 2, 1)},
    ),
    "channel shuffle": (
        lambda s, x: s.c(torch.tanh(s.a(x)).view(x.shape[0], 2, 3, 8, 8).transpose(1, 2).reshape(x.shape[0], 6, 8, 8)),
        {"a": conv(4, 6, 1), "c": conv(6, 4, 1, groups=2)},
    ),
    "chunks": (
        lambda s, x: (lambda y: s.b(y[0]) * s.c(y[1]))(torch.tanh(s.a(x)).chunk(2, 1)),
        {"a": conv(4, 6, 1), "b": conv(3, 2, 1), "c": conv(3, 2, 1)},
    ),
    "halves": (
        lambda s, x: s.b(torch.tanh(s.a(x))[:, 1:5, ::2]),
        {"a": conv(4, 6, 1), "b": conv(4, 2, 1)},
    ),
    "upsampling and padding": (
        lambda s, x: s.c(F.pad(F.interpolate(torch.tanh(s.a(x)), scale_factor=2, mode="bilinear"), (1, 1, 2, 0))),
        {"a": conv(4, 6, 3), "c": conv(6, 2, 3)},
    ),
    "pixel shuffle": (
        lambda s, x: s.c(torch.tanh(s.u(s.a(x)))),
        {"a": conv(4, 8, 1), "u": nn.PixelShuffle(2), "c": conv(2, 3, 1)},
    ),
    "numbers": (lambda s, x: s.c(2 * torch.tanh(s.a(x) / 3)), {"a": conv(4, 6, 1), "c": conv(6, 2, 1)}),
    "multiplied in place": (
        lambda s, x: s.c(s.b(x).mul_(torch.tanh(s.a(x)))),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
    ),
    "multiplied in place through a view": (
        lambda s, x: s.c(s.b(x).flatten(2).mul_(torch.tanh(s.a(x)).flatten(2))),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": nn.Conv1d(6, 2, 1)},
    ),
    "divided in place by a number, and read by its old name": (
        lambda s, x: (lambda y: last(y.view(x.shape[0], -1).div_(2), s.c(y)))(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 1), "c": conv(6, 2, 1)},
    ),
    "multiplied in place by what has no factor, and read by its old name": (
        lambda s, x: (lambda y: last(y[:, 1:3].mul_(s.b(x)), s.c(y)))(torch.tanh(s.a(x))),
        {"a": conv(4, 6, 1), "b": conv(4, 2, 1), "c": conv(6, 2, 1)},
    ),
}
"""Networks whose factors can all be folded."""
POSITIVE = {"max-pooling", "pooling before", "concatenation"}
"""Those that only take positive ones."""


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("per_channel", [False, True])
def test_all_factors_are_folded(name, per_channel):
    forward, layers = EXACT[name]
    model = make(forward, **copy.deepcopy(layers))
    sites = find_sites(model, SHAPE)
    assert len(sites)
    negative = name not in POSITIVE
    choices = []
    for seed, site in enumerate(sites):
        values = [numbers(site.channels, 2 * seed + k, negative=negative) for k in range(2)]
        alpha, beta = values if per_channel else [one[0] for one in values]
        choices.append(SiteChoice(site.operator, alpha, beta))
    result = folded(model, choices)
    assert left(result) == set()
    assert factors(result) == []
    assert list(result.network.state_dict()) == list(model.state_dict())


BLOCKED = {
    "sum before": (
        lambda s, x: s.c(torch.tanh(s.a(x) + s.b(x))), {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"beta": "its input comes from a sum"},
    ),
    "sum after": (
        lambda s, x: s.c(torch.tanh(s.a(x)) + s.b(x)), {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "its output enters a sum"},
    ),
    "residual": (
        lambda s, x: (lambda y: y + s.c(y))(torch.tanh(s.a(x))), {"a": conv(4, 6, 1), "c": conv(6, 6, 1)},
        {"alpha": "its output enters a sum"},
    ),
    "the network's output": (lambda s, x: torch.tanh(s.a(x)), {"a": conv(4, 6, 1)}, {"alpha": "is the network's"}),
    "the network's input": (lambda s, x: s.a(torch.tanh(x)), {"a": conv(4, 6, 1)}, {"beta": "is the network's"}),
    "another reader before": (
        lambda s, x: (lambda y: s.c(torch.tanh(y)) * y)(s.a(x)), {"a": conv(4, 6, 1), "c": conv(6, 6, 1)},
        {"beta": "is read more than once"},
    ),
    "another operator": (
        lambda s, x: s.c(torch.softmax(torch.tanh(s.a(x)), 1)), {"a": conv(4, 6, 1), "c": conv(6, 6, 1)},
        {"alpha": "softmax, which does not pass a factor on"},
    ),
    "layer norm after": (
        lambda s, x: s.b(torch.tanh(s.a(x))), {"a": nn.Linear(8, 6), "b": nn.LayerNorm(6)},
        {"alpha": "b (LayerNorm)"},
    ),
    "batch norm without weights": (
        lambda s, x: s.c(torch.tanh(s.b(s.a(x)))), {"a": conv(4, 6, 1), "b": norm(6, affine=False), "c": conv(6, 2, 1)},
        {"beta": "b (BatchNorm2d) has no weight"},
    ),
    "batch norm without statistics": (
        lambda s, x: s.b(torch.tanh(s.a(x))), {"a": conv(4, 6, 1), "b": norm(6, track_running_stats=False)},
        {"alpha": "normalises by the statistics of each batch"},
    ),
    "a computed weight": (
        lambda s, x: s.c(torch.tanh(s.a(x))),
        {"a": parametrizations.weight_norm(conv(4, 6, 1)), "c": conv(6, 2, 1)},
        {"beta": "a (ParametrizedConv2d)"},
    ),
    "a layer called twice": (
        lambda s, x: s.c(s.a(torch.tanh(s.a(x)))), {"a": conv(4, 4, 1), "c": conv(4, 2, 1)},
        {"alpha": "a.weight is shared", "beta": "a.weight is shared"},
    ),
    "multiplied in place, read by its old name": (
        lambda s, x: (lambda y: last(y.mul_(torch.tanh(s.a(x))), s.c(y)))(s.b(x)),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again"},
    ),
    "multiplied in place through a view": (
        lambda s, x: (lambda y: last(y[:, 1:3].mul_(torch.tanh(s.a(x))), s.c(y)))(s.b(x)),
        {"a": conv(4, 2, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again"},
    ),
    "multiplied in place, a view read": (
        lambda s, x: (lambda y: (lambda v: last(y.mul_(torch.tanh(s.a(x))), s.c(v)))(y[:, 1:3]))(s.b(x)),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(2, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again"},
    ),
    "multiplied in place in chunks": (
        lambda s, x: (lambda y: last(y[0].mul_(torch.tanh(y[1])), s.c(torch.cat([y[0], y[1]], 1))))(s.a(x).chunk(2, 1)),
        {"a": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again", "beta": "chunk does not make one tensor"},
    ),
    "multiplied in place by itself": (
        lambda s, x: (lambda y: last(y.mul_(y), s.c(y)))(torch.tanh(s.a(x))), {"a": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again"},
    ),
    "the network's input multiplied in place": (
        lambda s, x: s.c(x.mul_(torch.tanh(s.a(x)))), {"a": conv(4, 4, 1), "c": conv(4, 2, 1)},
        {"alpha": "mul_, which overwrites a tensor that is read again"},
    ),
    "added in place": (
        lambda s, x: (lambda y: last(y.add_(torch.tanh(s.a(x))), s.c(y)))(s.b(x)),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "its output enters a sum"},
    ),
    "copied": (
        lambda s, x: (lambda y: last(y.copy_(torch.tanh(s.a(x))), s.c(y)))(s.b(x)),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "copy_, which does not pass a factor on"},
    ),
    "written to another tensor": (
        lambda s, x: (lambda y: last(torch.mul(torch.tanh(s.a(x)), 2, out=y), s.c(y)))(s.b(x)),
        {"a": conv(4, 6, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "mul, which does not pass a factor on"},
    ),
    "joined into another tensor": (
        lambda s, x: (lambda y: s.c(torch.tanh(torch.cat([s.a(x), s.a2(x)], 1, out=y))) + s.d(y))(s.b(x)),
        {"a": conv(4, 3, 1), "a2": conv(4, 3, 1), "b": conv(4, 6, 1), "c": conv(6, 2, 1), "d": conv(6, 2, 1)},
        {"beta": "cat, which does not pass a factor on"},
    ),
    "squeezed values": (
        lambda s, x: s.c(torch.tanh(s.a(x)) ** 2), {"a": conv(4, 6, 1), "c": conv(6, 2, 1)},
        {"alpha": "pow, which does not pass a factor on"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKED)
def test_what_stays_and_why(name):
    forward, layers, reasons = BLOCKED[name]
    model = make(forward, **copy.deepcopy(layers))
    (site,) = find_sites(model, SHAPE)
    result = folded(model, [SiteChoice("tanh", 0.7, -1.3)])
    assert {one.factor for one in result.unfolded} == set(reasons)
    for one in result.unfolded:
        assert one.site == site.name
        assert reasons[one.factor] in one.reason
        assert "\n" not in one.reason
    assert (result.factors, len(factors(result))) == (2, len(reasons))


@pytest.mark.parametrize("alpha", [-0.5, [0.5, 1.5, -0.5, 1.0, 1.0, 2.0]])
def test_a_negative_factor_does_not_pass_max_pooling(alpha):
    model = make(*EXACT["max-pooling"][:1], **copy.deepcopy(EXACT["max-pooling"][1]))
    (unfolded,) = folded(model, [SiteChoice("tanh", alpha, 2.0)]).unfolded
    assert (unfolded.factor, unfolded.reason) == ("alpha", "it passes max_pool2d, as only a positive factor may")


def simple():
    return make(lambda s, x: s.c(torch.tanh(s.a(x))), a=conv(4, 6, 3), c=conv(6, 2, 3))


@pytest.mark.parametrize("value", [0.0, 1e-30, -1e30, [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [1e-20, 1.0, 1.0, 1.0, 1.0, 1.0]])
@pytest.mark.parametrize("factor", ["alpha", "beta"])
def test_factors_that_would_lose_accuracy_stay(factor, value):
    result = folded(simple(), [SiteChoice("tanh", **{factor: value})])
    assert [one.factor for one in result.unfolded] == [factor]
    assert "does not lie between" in result.unfolded[0].reason


@pytest.mark.parametrize("size", [1e-36, 1e36])
def test_weights_that_would_lose_accuracy_stay(size):
    model = simple()
    with torch.no_grad():
        model.c.weight.mul_(size)
        model.c.bias.mul_(size)
    (unfolded,) = folded(model, [SiteChoice("tanh", *((1e-4, 2.0) if size < 1 else (1e4, 1e-6)))]).unfolded
    assert (unfolded.factor, unfolded.reason) == ("alpha", "c.weight would overflow or lose accuracy")


def test_a_tiny_weight_beside_large_ones_is_no_obstacle():
    model = simple()
    with torch.no_grad():
        model.c.weight[0, 0, 0, 0] = 1e-38
    assert left(folded(model, [SiteChoice("tanh", 0.01, 2.0)])) == set()


SIDES = {
    "after": (lambda s, x: s.c(F.relu(s.a(x) + s.b(x))), set()),
    "before": (lambda s, x: F.relu(s.a(x)) + s.b(x), set()),
    "nowhere": (lambda s, x: F.relu(s.a(x) + s.b(x)), {("relu", "alpha")}),
}


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("operator", ["relu", "leaky_relu", "prelu"])
def test_a_homogeneous_operator_lets_factors_change_sides(operator, per_channel, name):
    forward, remaining = SIDES[name]
    model = make(forward, a=conv(4, 6, 1), b=conv(4, 6, 1), c=conv(6, 6, 1))
    alpha, beta = (numbers(6, 1), numbers(6, 2)) if per_channel else (0.6, 1.7)
    assert left(folded(model, [SiteChoice(operator, alpha, beta)])) == remaining


def test_a_negative_factor_does_not_change_sides():
    after, before = (make(SIDES[k][0], a=conv(4, 6, 1), b=conv(4, 6, 1), c=conv(6, 6, 1)) for k in ("after", "before"))
    assert left(folded(after, [SiteChoice("relu", 0.5, -2.0)])) == {("relu", "beta")}
    assert left(folded(before, [SiteChoice("relu", -0.5, 2.0)])) == {("relu", "alpha")}
    assert left(folded(after, [SiteChoice("identity", 0.5, -2.0)])) == set()
    assert left(folded(after, [SiteChoice("tanh", 0.5, 2.0)])) == {("relu", "beta")}


def test_another_site_that_is_homogeneous_passes_a_factor_on():
    model = make(lambda s, x: s.c(F.relu(torch.tanh(s.a(x)))), a=conv(4, 6, 1), c=conv(6, 2, 1))
    assert left(folded(model, [SiteChoice("tanh", 0.5, 2.0), SiteChoice("relu")])) == set()
    assert left(folded(model, [SiteChoice("tanh", 0.5, 2.0), SiteChoice("relu", 3.0, 0.2)])) == set()
    assert left(folded(model, [SiteChoice("tanh", -0.5, 2.0), SiteChoice("relu")])) == {("tanh", "alpha")}
    assert left(folded(model, [SiteChoice("tanh", 0.5, 2.0), SiteChoice("elu")])) == {("tanh", "alpha")}


@pytest.mark.parametrize(
    ("change", "remaining"), [(lambda y: y.mul_(2), {("tanh", "alpha")}), (lambda y: y.mul(2), set())]
)
def test_an_identity_keeps_its_factor_where_its_input_would_be_overwritten(change, remaining):
    model = make(
        lambda s, x: (lambda y: s.c(change(torch.tanh(y).flatten(2))) + s.b(y.flatten(2)))(s.a(x)),
        a=conv(4, 6, 1), b=nn.Conv1d(6, 2, 1), c=nn.Conv1d(6, 2, 1),
    )  # fmt: skip
    assert left(folded(model, [SiteChoice("identity", 0.5)])) == remaining


TWICE = {"a": conv(4, 4, 1), "b": conv(4, 4, 1), "c": conv(4, 4, 1)}


@pytest.mark.parametrize(("second", "folds"), [((0.5, 2.0), True), ((0.5, 3.0), False), ((0.7, 2.0), False)])
def test_a_shared_layer_is_changed_if_all_its_calls_agree(second, folds):
    model = make(lambda s, x: s.c(torch.tanh(s.a(x))) + s.c(torch.tanh(s.a(s.b(x)))), **copy.deepcopy(TWICE))
    result = folded(model, [SiteChoice("tanh", 0.5, 2.0), SiteChoice("tanh", *second)])
    changed = {factor for factor, (a, b) in {"alpha": (0.5, second[0]), "beta": (2.0, second[1])}.items() if a != b}
    assert left(result) == {(site, factor) for site in ("tanh#1", "tanh#2") for factor in changed}
    assert folds == (not changed)


def test_a_weight_that_two_layers_share_is_left_alone():
    model = make(lambda s, x: s.c(torch.tanh(s.a(x))) + s.b(x), **copy.deepcopy(TWICE))
    model.b.weight = model.a.weight
    result = folded(model, [SiteChoice("tanh", 0.5, 2.0)])
    assert left(result) == {("tanh", "beta")}
    assert result.network.b.weight is result.network.a.weight


def test_a_subclass_of_a_layer_is_left_alone():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = self.weight / self.weight.std()
            return F.conv2d(x, weight, self.bias)

    model = make(lambda s, x: s.c(torch.tanh(s.a(x))), a=Standardised(4, 6, 3), c=Standardised(6, 2, 3))
    assert left(folded(model, [SiteChoice("tanh", 0.5, 2.0)])) == {("tanh", "alpha"), ("tanh", "beta")}


def test_a_layer_with_a_hook_is_left_alone():
    model = simple()
    network = apply_assignment(model, [SiteChoice("tanh", 0.5, 2.0)], input_shape=SHAPE).eval()
    network.a.register_forward_hook(lambda module, inputs, output: output.clamp(max=0.1))
    result = fold(network, SHAPE)
    assert [(one.site, one.factor) for one in result.unfolded] == [(f"{ACTIVATIONS}.site0", "beta")]
    assert difference(network, result.network, SHAPE) <= 1e-5


def test_factors_of_one_are_dropped_and_what_has_none_is_left_as_it_is():
    model = simple()
    network = apply_assignment(model, ["srs"], input_shape=SHAPE, learn=True).eval()
    result = fold(network, SHAPE)
    assert (result.factors, result.unfolded, factors(result)) == (2, (), [])
    for name, tensor in model.state_dict().items():
        assert torch.equal(result.network.state_dict()[name], tensor)
    untouched = fold(model, SHAPE)
    assert (untouched.factors, untouched.unfolded) == (0, ())


def test_operators_keep_their_constants():
    model = simple()
    choice = SiteChoice("srs", 0.5, 2.0, {"a": 4.0, "b": 2.0})
    result = folded(model, [choice])
    assert getattr(result.network, ACTIVATIONS).site0.describe()["constants"] == {"a": 4.0, "b": 2.0}
    assert left(result) == set()


def test_masked_weights_stay_zero_and_no_zero_is_negative():
    model = make(
        lambda s, x: s.d(torch.tanh(s.c(torch.tanh(s.b(s.a(x)))).flatten(1))),
        a=conv(4, 6, 3), b=norm(6), c=conv(6, 5, 3), d=nn.Linear(80, 3),
    )  # fmt: skip
    mask = prune(model, 0.8)
    apply_mask(model, mask)
    result = folded(model, [SiteChoice("tanh", -0.5, numbers(6, 1, negative=True)), SiteChoice("tanh", -1.5, -2.0)])
    state = result.network.state_dict()
    assert left(result) == set()
    assert violations(state, mask) == []
    for name, kept in mask.items():
        assert not torch.signbit(state[name][~kept]).any()
        assert torch.equal(state[name] != 0, model.state_dict()[name] != 0)


def test_the_result_is_in_evaluation_and_the_original_keeps_its_mode():
    network = apply_assignment(simple(), [SiteChoice("tanh", 0.5, 2.0)], input_shape=SHAPE).train()
    result = fold(network, SHAPE)
    assert network.training
    assert not any(module.training for module in result.network.modules())


def test_the_wrong_input_shape_is_an_error():
    network = apply_assignment(simple(), [SiteChoice("tanh", 0.5, 2.0)], input_shape=SHAPE)
    with pytest.raises(SafsError, match=r"does not take input of shape \(3, 8, 8\)"):
        fold(network, (3, 8, 8))


class CountCalls(TorchDispatchMode):
    """Counts the calls of PyTorch's operators."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func] = self.counts.get(func, 0) + 1
        return func(*args, **(kwargs or {}))


def calls_of(network):
    with CountCalls() as counted, torch.no_grad():
        network(torch.zeros(1, *SHAPE))
    return counted.counts


@pytest.mark.parametrize("operator", ["relu", "tanh", "srs"])
def test_what_is_folded_costs_nothing(operator):
    model = simple()
    plain = apply_assignment(model, [operator], input_shape=SHAPE).eval()
    factored = apply_assignment(model, [SiteChoice(operator, -0.5, numbers(6, 1))], input_shape=SHAPE).eval()
    assert calls_of(factored) != calls_of(plain)
    assert calls_of(fold(factored, SHAPE).network) == calls_of(plain)


def test_a_module_that_is_kept_whole_keeps_its_factors():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.c = conv(4, 6, 1), nn.ReLU(), conv(6, 4, 1)

        def forward(self, x):
            return self.c(self.act(self.a(x))) if x.sum() > -1e9 else x

    model = make(lambda s, x: s.c(torch.tanh(s.a(s.inner(x)))), inner=Branching(), a=conv(4, 6, 1), c=conv(6, 2, 1))
    sites = find_sites(model, SHAPE)
    inner = [site.operator for site in sites].index("relu")
    result = folded(model, [SiteChoice(site.operator, 0.5, 2.0) for site in sites])
    assert left(result) == {(sites.names[inner], "alpha"), (sites.names[inner], "beta")}
    assert all("kept whole" in one.reason for one in result.unfolded)


def layers_of(kinds, generator):
    """Return a random small network as a list of layers, and the shape that its input has."""
    channels, layers, size = 4, [], 8
    for kind in kinds:
        wider = generator.choice([2, 4, 6])
        if kind == "conv":
            groups = generator.choice([g for g in (1, 2) if channels % g == 0 and wider % g == 0])
            layers.append(conv(channels, wider, 3, padding=1, groups=groups, bias=generator.random() < 0.5))
            channels = wider
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(channels, wider, 3, padding=1))
            channels = wider
        elif kind == "norm":
            layers.append(norm(channels))
        elif kind in ("max", "avg") and size > 2:
            layers.append(nn.MaxPool2d(2) if kind == "max" else nn.AvgPool2d(2))
            size //= 2
        elif kind == "act":
            layers.append(nn.ReLU(inplace=generator.random() < 0.5))
        elif kind == "dropout":
            layers.append(nn.Dropout(0.3))
    layers += [nn.ReLU(), nn.Flatten(), nn.Linear(channels * size * size, 5), nn.ReLU(), nn.Linear(5, 3)]
    return layers


KINDS = st.sampled_from(["conv", "conv", "transposed", "norm", "max", "avg", "act", "act", "dropout"])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(KINDS, min_size=2, max_size=9),
    residual=st.booleans(),
    per_channel=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_random_networks(kinds, residual, per_channel, seed):
    generator = random.Random(seed)
    body = nn.Sequential(*layers_of(kinds, generator))
    if residual:
        forward, extra = lambda s, x: s.body(x + s.extra(x)), conv(4, 4, 1)
    else:
        forward, extra = lambda s, x: s.body(s.extra(x)), nn.Identity()
    model = make(forward, body=body, extra=extra)
    sites = find_sites(model, SHAPE)
    operators = ["tanh", "relu", "srs", "leaky_relu", "elu", "swish"]
    choices = []
    for site in sites:
        alpha, beta = (numbers(site.channels, generator.random(), negative=generator.random() < 0.3) for _ in range(2))
        operator = generator.choice(operators)
        choices.append(SiteChoice(operator, *((alpha, beta) if per_channel else (alpha[0], beta[0]))))
    result = folded(model, choices)
    assert len(factors(result)) == len(result.unfolded) <= result.factors


def vgg11_bn():
    from torchvision.models import vgg11_bn

    model = vgg11_bn(num_classes=10)
    model.classifier[0], model.classifier[3], model.classifier[6] = (
        nn.Linear(512 * 7 * 7, 32), nn.Linear(32, 32), nn.Linear(32, 10),
    )  # fmt: skip
    return model


def vit():
    from torchvision.models import VisionTransformer

    model = VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10
    )
    nn.init.normal_(model.heads.head.weight)  # which are zeros
    return model


def torchvision(name):
    from torchvision import models

    return lambda: models.get_model(name, weights=None, num_classes=10)


NETWORKS = {
    "resnet18": (torchvision("resnet18"), 32, 13),  # β of the 8 sites behind a sum; α of the 5 before one
    "vgg11_bn": (vgg11_bn, 32, 0),
    "mobilenet_v2": (torchvision("mobilenet_v2"), 32, 0),
    "densenet121": (torchvision("densenet121"), 32, 0),
    "squeezenet1_1": (torchvision("squeezenet1_1"), 64, 1),
    "shufflenet_v2_x0_5": (torchvision("shufflenet_v2_x0_5"), 32, 0),
    "mobilenet_v3_small": (torchvision("mobilenet_v3_small"), 32, 0),
    "vit": (vit, 32, 0),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_torchvision(name, per_channel):
    build, size, most = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = spread(build())
    shape = (3, size, size)
    sites = find_sites(model, shape)
    operators = ["tanh", "relu", "srs", "elu", "swish", "gelu", "softplus"]
    choices = []
    for index, site in enumerate(sites):
        alpha, beta = numbers(site.channels, 2 * index), numbers(site.channels, 2 * index + 1)
        pair = (alpha, beta) if per_channel else (alpha[0], beta[0])
        choices.append(SiteChoice(operators[index % len(operators)], *pair))
    result = folded(model, choices, shape)
    assert result.factors == 2 * len(sites)
    assert len(result.unfolded) <= most
    assert len(factors(result)) == len(result.unfolded)
    assert all("a sum" in one.reason or "is the network's" in one.reason for one in result.unfolded)
