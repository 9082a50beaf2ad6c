"""Networks that torch.fx cannot trace, as a whole or in part."""

import copy
import itertools
import pickle
import random

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from safs.connectivity import connectivity
from safs.data.dataset import Data
from safs.describe import describe
from safs.export import load_best, write_best
from safs.masks import apply_mask, violations
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.sites import find_sites
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment, read_choices, replace_sites
from safs.training import train
from safs.trial import Problem
from safs.wrappers import PlainWrapper
from spaces.operators import OPERATORS


class Block(nn.Module):
    """Branches on sizes; calls one activation twice, one with parameters, one of its own and a gate."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 6)
        self.act, self.prelu = nn.Tanh(), nn.PReLU(6)
        self.se = nn.Sequential(nn.Linear(6, 6), nn.Sigmoid())

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        x = self.act(self.fc2(self.act(self.fc1(x))))
        return x * self.se(x).view(-1, 6) + self.prelu(x)


class Plain(nn.Module):
    """Calls a function, and can be traced."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        return F.relu(self.fc(x))


class InPart(nn.Module):
    """Can be traced but for its block, which it calls twice."""

    def __init__(self):
        super().__init__()
        self.first, self.block, self.head = Plain(), Block(), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(F.elu(self.block(self.block(self.first(x.flatten(1))))))


class Whole(nn.Module):
    """Cannot be traced itself."""

    def __init__(self):
        super().__init__()
        self.first = Plain()
        self.blocks = nn.ModuleList([Block(), Plain(), nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True))])
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x.flatten(1))
        for block in self.blocks:
            x = block(x) if x.abs().sum() >= 0 else x
        return self.head(x)


class Layers(nn.Module):
    """PyTorch's own transformer layers, whose activation is a function."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.encoder(x[:, None]).mean(1))


class Shared(nn.Module):
    """Calls the activations of its block, which cannot be traced, itself."""

    class Within(nn.Module):
        def __init__(self, act, prelu):
            super().__init__()
            self.fc, self.act, self.prelu = nn.Linear(6, 6), act, prelu

        def forward(self, x):
            return self.prelu(self.act(self.fc(self.act(x)))) if len(x) else x

    def __init__(self):
        super().__init__()
        self.act, self.prelu = nn.GELU(), nn.PReLU(6)
        self.fc, self.block, self.head = nn.Linear(6, 6), self.Within(self.act, self.prelu), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.prelu(self.block(self.act(self.fc(x.flatten(1))))))


NETWORKS = {"in part": InPart, "whole": Whole, "layers": Layers, "shared": Shared}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(scope="module")
def made():
    """Networks with their sites, made once: no test may change them."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        models = {name: factory() for name, factory in NETWORKS.items()}
        x = torch.randn(5, 6)
    sites = {name: find_sites(model, (6,)) for name, model in models.items()}
    return lambda name: (models[name], sites[name], x)


def mixed(sites):
    return [("srs", "tanh", "symlog", "acon", "elu")[i % 5] for i in range(len(sites))]


def step(model, x):
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    y.square().sum().backward()
    return y.detach(), x.grad, {k: p.grad for k, p in model.named_parameters() if not k.startswith(ACTIVATIONS)}


def test_sites_are_calls_in_forward_order(made):
    _, sites, _ = made("in part")
    assert sites.traced == "leaves"
    assert [(site.name, site.operator, site.shape) for site in sites] == [
        ("first.relu", "relu", (6,)),
        ("block.act#1", "tanh", (6,)), ("block.act#2", "tanh", (6,)), ("block.prelu#1", "prelu", (6,)),
        ("block.act#3", "tanh", (6,)), ("block.act#4", "tanh", (6,)), ("block.prelu#2", "prelu", (6,)),
        ("elu", "elu", (6,)),
    ]  # fmt: skip
    assert [gate.name for gate in sites.gates] == ["block.se.1#1", "block.se.1#2"]
    assert [(path, reason) for path, reason in sites.parts.kept.items()] == [
        ("block", "its forward pass branches on the values or sizes of tensors")
    ]


def test_what_can_be_traced_inside_is_traced(made):
    _, sites, _ = made("whole")
    assert sites.names == (
        "first.relu", "blocks.0.act#1", "blocks.0.act#2", "blocks.0.prelu", "blocks.1.relu", "blocks.2.1",
    )  # fmt: skip
    assert sites.fixed == ()
    assert sites.graph is None
    assert list(sites.parts.kept) == ["", "blocks.0"]


def test_transformer_layers(made):
    model, sites, _ = made("layers")
    assert sites.names == ("encoder.layers.0.activation", "encoder.layers.1.activation")
    assert sites.sites[0].shape == (1, 12)
    assert model.encoder.layers[0].activation is F.relu


@every_network
@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_keeps_its_operators_is_bit_equal(name, training, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).train(training)
    network = apply_assignment(model, sites.original, sites=sites)
    for (key, kept), (other_key, other) in zip(model.state_dict().items(), network.state_dict().items(), strict=True):
        assert key == other_key
        assert torch.equal(kept, other)
    y, dx, gradients = step(model, x)
    other_y, other_dx, other_gradients = step(network, x)
    assert torch.equal(other_y, y)
    assert torch.equal(other_dx, dx)
    assert gradients.keys() == other_gradients.keys()
    assert all(torch.equal(other_gradients[key], gradient) for key, gradient in gradients.items())


@every_network
def test_names_stay_and_everything_learns(name, made):
    model, sites, x = made(name)
    network = apply_assignment(model, mixed(sites), sites=sites, learn=True)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(ACTIVATIONS)}
    assert own.keys() == model.state_dict().keys()
    assert all(torch.equal(own[key], value) for key, value in model.state_dict().items())
    step(network, x)
    scales = {k: p for k, p in network.named_parameters() if k.startswith(ACTIVATIONS)}
    assert len(scales) > 2 * len(sites)
    assert not [key for key, parameter in scales.items() if parameter.grad is None]
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in network.parameters()}
    assert [choice.operator for choice in read_choices(network, sites)] == mixed(sites)


def test_operators_arrive_at_their_calls(made):
    model, sites, x = made("in part")
    names = ["srs", "tanh", "symlog", "elu", "acon", "softsign", "prelu", "gelu"]
    f = [OPERATORS[name] for name in names]

    def block(x, a, b, c):
        x = b(model.block.fc2(a(model.block.fc1(x))))
        return x * model.block.se(x) + c(x)

    y = block(block(f[0](model.first.fc(x)), *f[1:4]), f[4], f[5], model.block.prelu)
    expected = model.head(f[7](y))
    network = apply_assignment(model, names, sites=sites)
    torch.testing.assert_close(network(x), expected)
    assert torch.equal(network(x), network(x))  # every pass begins to count anew


@pytest.mark.parametrize("put", list(itertools.product([False, True], repeat=5)))
def test_activations_that_a_graph_shares_with_python_code(put, made):
    model, sites, x = made("shared")
    assert sites.names == ("act#1", "act#2", "act#3", "prelu#1", "prelu#2")
    names = [name if new else own for new, name, own in zip(put, mixed(sites), sites.original, strict=True)]
    own = [model.act, model.act, model.act, model.prelu, model.prelu]
    f = [OPERATORS[name] if new else module for new, name, module in zip(put, mixed(sites), own, strict=True)]
    expected = f[3](f[2](model.block.fc(f[1](f[0](model.fc(x))))))
    network = apply_assignment(model, names, sites=sites)
    torch.testing.assert_close(network(x), model.head(f[4](expected)))
    assert [name for name in network.state_dict() if not name.startswith(ACTIVATIONS)] == list(model.state_dict())
    with torch.no_grad():
        network.prelu.weight.fill_(0.75)
    choices = read_choices(network, sites)
    assert [choice.operator for choice in choices] == names
    assert {tuple(c.constants["slope"]) for c in choices if c.operator == "prelu"} <= {(0.75,) * 6}


@every_network
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "both"])
def test_copies(name, how, made):
    model, sites, x = made(name)
    network = apply_assignment(model, mixed(sites), sites=sites, learn=True)
    network(x)
    other = copy.deepcopy(network) if how != "pickle" else pickle.loads(pickle.dumps(network))
    other = pickle.loads(pickle.dumps(other)) if how == "both" else other
    y = network(x)
    assert torch.equal(other(x), y)
    with torch.no_grad():
        for key, parameter in other.named_parameters():
            parameter.add_(0.1 if key.startswith(ACTIVATIONS) else 0.0)
    assert not torch.equal(other(x), y)  # its stand-ins refer to its own activations
    assert torch.equal(network(x), y)


@every_network
def test_compiled(name, made):
    model, sites, x = made(name)
    network = apply_assignment(model, mixed(sites), sites=sites).eval()
    compiled = torch.compile(copy.deepcopy(network), backend="eager")
    for _ in range(2):
        torch.testing.assert_close(compiled(x), network(x))


def test_an_exception_within_a_pass_leaves_nothing_behind(made):
    model, sites, x = made("in part")
    network = apply_assignment(model, mixed(sites), sites=sites)
    y = network(x)
    fails = network.block.fc2.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        network(x)
    fails.remove()
    assert torch.equal(network(x), y)


class Repeats(nn.Module):
    """Calls an activation as often as its input says."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(2, 2), nn.ReLU()

    def forward(self, x):
        for _ in range(2 + int(x[0, 0] > 5) - int(x[0, 0] < -5)):
            x = self.act(self.fc(x))
        return x


def test_a_number_of_calls_that_varies_with_the_data():
    model = Repeats()
    sites = find_sites(model, (2,))
    assert sites.names == ("act#1", "act#2")
    network = apply_assignment(model, ["tanh", "srs"], sites=sites)
    a, b = OPERATORS["tanh"], OPERATORS["srs"]
    for value, operators in ((0.0, [a, b]), (6.0, [a, b, b]), (-6.0, [a])):
        x = expected = torch.full((3, 2), value)
        for operator in operators:
            expected = operator(model.fc(expected))
        torch.testing.assert_close(network(x), expected)


def test_without_an_example_each_module_is_one_site_and_a_warning_says_so(made):
    model, _, x = made("in part")
    sites = find_sites(model)
    assert sites.names == ("first.relu", "block.act", "block.prelu", "elu")
    assert [gate.name for gate in sites.gates] == ["block.se.1"]
    (_, warning) = describe("m", model, sites, None, None)["warnings"]
    assert "shows only a run" in warning
    assert torch.isfinite(apply_assignment(model, ["tanh"] * 4, sites=sites)(x)).all()


class Unreachable(nn.Module):
    """Calls functions where nothing can be replaced, and reads what an activation has overwritten."""

    def __init__(self):
        super().__init__()
        self.fc, self.act, self.last = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Sigmoid()

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        x = torch.tanh(self.fc(x))
        y = self.fc(x)
        self.act(y)
        gate = torch.sigmoid(self.fc(y))
        return F.gelu(y * gate) + y * self.last(y)


def test_what_cannot_be_replaced_is_counted_and_told():
    sites = find_sites(Unreachable(), (4,))
    assert [(call.name, call.operator) for call in sites.fixed] == [
        ("tanh", "tanh"), ("act", "relu"), ("gelu", "gelu"), ("last", "sigmoid"),
    ]  # fmt: skip
    assert [gate.name for gate in sites.gates] == ["sigmoid"]
    assert len(sites) == 0
    traced, fixed = describe("m", Unreachable(), sites, None, (4,))["warnings"]
    assert traced.startswith("torch.fx does not trace 1 module (the network itself: its forward pass branches")
    assert fixed.startswith("4 activation calls cannot be replaced (tanh: it is a function; act: it overwrites")
    assert fixed.endswith("; and 1 more).")


class Overwrites(nn.Module):
    """Overwrites what an activation returns that needs it for its gradient."""

    def __init__(self):
        super().__init__()
        self.fc, self.act, self.dropout = nn.Linear(4, 4), nn.SiLU(), nn.Dropout(0.0, inplace=True)

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        y = self.act(self.fc(x))
        y += x
        return self.dropout(self.act(y))


class Named(nn.Module):
    """Overwrites an activation's output by the next one, and gives inputs by name."""

    def __init__(self):
        super().__init__()
        self.fc, self.one, self.two = nn.Linear(4, 4), nn.Hardswish(), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.two(input=self.one(self.fc(x))) if len(x) else x


def test_an_activation_that_overwrites_that_of_the_site_before():
    model, x = Named(), torch.randn(3, 4)
    sites = find_sites(model, (4,))
    assert sites.names == ("one", "two")
    y, _, gradients = step(apply_assignment(model, ["tanh", "relu"], sites=sites), x)
    torch.testing.assert_close(y, model.fc(x).tanh().relu().detach())
    assert gradients["fc.weight"].abs().sum() > 0


class OverwritesTwice(nn.Module):
    """Calls one activation twice that works in place, and reads what the second call has overwritten."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        x = self.act(self.fc1(x))
        y = self.fc2(x)
        return self.act(y) + y


def test_every_call_of_an_activation_that_works_in_place_does():
    model, x = OverwritesTwice(), torch.randn(3, 4)
    sites = find_sites(model, (4,))
    assert ([site.call for site in sites], [call.name for call in sites.fixed]) == ([0], ["act"])
    y = apply_assignment(model, ["srs"], sites=sites)(x)
    torch.testing.assert_close(y, 2 * model.fc2(OPERATORS["srs"](model.fc1(x))).relu())
    assert model.act.inplace


class OverwritesItself(nn.Module):
    """Calls one activation, which works in place, on what it returned."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.act(self.fc(x))) if len(x) else x


def test_an_activation_that_overwrites_its_own_output():
    model, x = OverwritesItself(), torch.randn(3, 4)
    sites = find_sites(model, (4,))
    assert sites.names == ("act#1", "act#2")
    y, _, gradients = step(apply_assignment(model, ["tanh", "relu"], sites=sites), x)
    torch.testing.assert_close(y, model.fc(x).tanh().relu().detach())
    assert gradients["fc.weight"].abs().sum() > 0


@pytest.mark.parametrize("shape", [(4,), None])
def test_what_code_overwrites_is_a_copy(shape):
    model, x = Overwrites(), torch.randn(3, 4)
    sites = find_sites(model, shape)
    network = apply_assignment(model, ["tanh"] * len(sites), sites=sites)
    y, dx, _ = step(network, x)
    z = x.clone().requires_grad_()
    expected = torch.tanh(torch.tanh(model.fc(z)) + z)
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected.detach())
    torch.testing.assert_close(dx, z.grad)


def test_the_fused_kernel_of_transformer_layers_does_not_bypass_an_operator(made):
    model, sites, x = made("layers")
    network = apply_assignment(model, ["srs", "tanh"], sites=sites).eval()
    with torch.no_grad():
        fast = network(x)
    torch.testing.assert_close(fast, network(x))
    assert not torch.allclose(fast, copy.deepcopy(model).eval()(x), atol=1e-3)


class Deep(nn.Module):
    """Drops its residual branch in training, by code that torch.fx would fix."""

    class Drop(nn.Module):
        def forward(self, x):
            return x * x.new_empty(x.shape[0], 1).bernoulli_(0.5) if self.training else x

    def __init__(self):
        super().__init__()
        self.fc, self.act, self.drop = nn.Linear(6, 6), nn.ReLU(), self.Drop()

    def forward(self, x):
        return x + self.drop(self.act(self.fc(x)))


def test_what_a_module_does_in_training_only_is_kept():
    model, x = Deep(), torch.randn(64, 6)
    sites = find_sites(model, (6,))
    assert sites.names == ("act",)
    network = apply_assignment(model, ["tanh"], sites=sites)
    dropped = (network.train()(x) == x).all(1).float().mean()
    assert 0.2 < dropped < 0.8
    assert not (network.eval()(x) == x).all(1).any()


DRAWS = [lambda: float(torch.rand(1)), lambda: random.random(), lambda: numpy.random.rand()]


class Skips(nn.Module):
    """Leaves its layer out at random, by code that torch.fx would fix."""

    def __init__(self, draw, *, always=False):
        super().__init__()
        self.fc, self.act, self.draw, self.always = nn.Linear(6, 6), nn.Tanh(), draw, always

    def forward(self, x):
        if (self.training or self.always) and self.draw() < 0.5:
            return x
        return self.act(self.fc(x))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("inner", [False, True])
def test_what_a_module_decides_at_random_is_kept(draw, inner):
    model, x = nn.Sequential(nn.Linear(6, 6), Skips(draw)) if inner else Skips(draw), torch.randn(2, 6)
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[2]
    found = [find_sites(model, (6,)) for _ in range(4)]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), numpy.random.get_state()[2]) == states[1:]
    assert {sites.code for sites in found} == {found[0].code}
    (path,) = found[0].parts.kept
    assert path == ("1" if inner else "")
    assert found[0].parts.kept[path].startswith("its forward pass draws random numbers")
    assert found[0].names == ("1.act" if inner else "act",)
    network = apply_assignment(model, ["relu"], sites=found[0]).train()
    assert {bool((network(x) < 0).any()) for _ in range(60)} == {False, True}
    assert not (network.eval()(x) < 0).any()


def test_only_the_module_that_draws_is_kept():
    block = nn.Sequential(Plain(), nn.Sequential(Plain(), Skips(random.random, always=True)), Plain())
    sites = find_sites(block)
    assert list(sites.parts.kept) == ["1.1"]
    assert sites.names == ("0.relu", "1.0.relu", "1.1.act", "2.relu")


@every_network
def test_modes_are_kept(name, made):
    model, sites, _ = made(name)
    model = copy.deepcopy(model).train()
    next(module for module in model.modules() if isinstance(module, nn.Linear)).eval()
    network = apply_assignment(model, mixed(sites), sites=sites)
    modes = {path: module.training for path, module in model.named_modules() if list(module.parameters(recurse=False))}
    assert not all(modes.values())
    assert {path: m.training for path, m in network.named_modules() if path in modes} == modes
    assert not any(module.training for module in network.eval().modules())


@pytest.mark.parametrize("name", ["in part", "whole"])
def test_masks_connectivity_and_best(name, made, tmp_path):
    model = copy.deepcopy(made(name)[0])
    sites = find_sites(model, (1, 2, 3))
    mask = prune(model, 0.5)
    apply_mask(model, mask)
    paths = connectivity(model, mask, sites, (1, 2, 3))
    assert (paths.logits, paths.connected_logits) == (3, 3)
    assert {layer.name for layer in paths.layers} == {key.removesuffix(".weight") for key in mask}
    cut = {key: kept & (key != "first.fc.weight") for key, kept in mask.items()}
    assert connectivity(model, cut, sites, (1, 2, 3)).connected_logits == 0
    images = torch.randn(20, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    data = Data(images, torch.arange(20) % 3, 3)
    network = apply_assignment(model, mixed(sites), sites=sites, learn=True)
    protocol = Protocol(epochs=2, batch_size=5, lr=0.01)
    train(network, mask, data, torch.arange(20), protocol, seed=0)
    assert violations(network.state_dict(), mask) == []
    choices = read_choices(network, sites)
    assert any(choice.alpha != 1.0 for choice in choices)
    problem = Problem(model, mask, sites, data)
    write_best(tmp_path, problem, network.state_dict(), choices, {"name": "user:factory", "kwargs": {}})
    loaded = load_best(tmp_path, NETWORKS[name]())
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network.eval()(images))


def test_slopes_of_a_prelu_that_was_trained_are_read(made):
    model, sites, x = made("in part")
    network = apply_assignment(model, ["relu", *sites.original[1:]], sites=sites)
    with torch.no_grad():
        network.block.prelu.weight.fill_(0.75)
    choices = read_choices(network, sites)
    assert [choice.constants for choice in choices if choice.operator == "prelu"] == [{"slope": [0.75] * 6}] * 2
    some = [*sites.original[:3], SiteChoice("srs"), *sites.original[4:]]
    network = apply_assignment(model, some, sites=sites)  # one of the PReLU's two calls
    with torch.no_grad():
        network.block.prelu.weight.fill_(0.25)
    assert read_choices(network, sites)[6].constants == {"slope": [0.25] * 6}
    assert set(network.state_dict()) == set(model.state_dict())
    assert torch.isfinite(network(x)).all()


def test_values_per_channel(made):
    model, sites, x = made("whole")
    network = apply_assignment(model, mixed(sites), sites=sites, learn=True, per_channel=True)
    assert getattr(network, ACTIVATIONS).site1.alpha.shape == (6,)
    torch.testing.assert_close(network(x), apply_assignment(model, mixed(sites), sites=sites)(x))


class Calls(nn.Module):
    """Uses more of a module than its forward pass: its graph cannot take its place."""

    def __init__(self):
        super().__init__()
        self.plain = Plain()

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        return self.plain(x) + self.plain.fc(x) + self.plain.again(x)


def test_a_module_whose_other_methods_are_called_stays_itself(monkeypatch):
    monkeypatch.setattr(Plain, "again", lambda self, x: self.forward(x), raising=False)
    sites = find_sites(Calls(), (6,))
    assert len(sites) == 0
    assert [call.name for call in sites.fixed] == ["plain.relu", "relu"]


class Unsound(nn.Module):
    """Calls one block twice, uses more of another than its forward pass, and calls the others once."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList([Plain() for _ in range(blocks)])

    def forward(self, x):
        if x.shape[0] > 1000:
            return x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 1:
                x = block(x)
            if index == 3:
                x = block.more(x)
        return x


@pytest.mark.parametrize(("blocks", "left"), [(3, [0, 2]), (5, [0, 2, 4])])
def test_a_module_whose_graph_does_not_do_hides_no_other(blocks, left, monkeypatch):
    monkeypatch.setattr(Plain, "more", lambda self, x: x + self.fc(x), raising=False)
    model, x = Unsound(blocks), torch.randn(3, 6)
    sites = find_sites(model, (6,))
    assert list(sites.names) == [f"blocks.{index}.relu" for index in left]
    assert [call.name for call in sites.fixed][:2] == ["blocks.1.relu#1", "blocks.1.relu#2"]
    network = apply_assignment(model, sites.original, sites=sites)
    assert torch.equal(network(x), model(x))
    assert not torch.allclose(apply_assignment(model, mixed(sites), sites=sites)(x), model(x))


class InParts(nn.Module):
    """Is wrapped in part, as pytorch/examples wraps VGG's features."""

    def __init__(self, *, traced):
        super().__init__()
        features = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6).eval()))
        self.features, self.traced = nn.DataParallel(features), traced
        self.classifier = torch.compile(nn.Sequential(nn.Linear(6, 6), nn.Tanh()), backend="eager")
        self.last = nn.DataParallel(torch.compile(Plain(), backend="eager"))

    def forward(self, x):
        return self.last(self.classifier(self.features(x))) if self.traced or len(x) else x


@pytest.mark.parametrize("traced", [False, True])
def test_wrappers_within_a_network(traced):
    model, x = InParts(traced=traced), torch.randn(3, 6)
    types = [type(module) for module in model.modules()]
    sites = find_sites(model, (6,))
    assert sites.traced == ("fx" if traced else "leaves")
    assert sites.names == ("features.module.1", "classifier._orig_mod.1", "last.module._orig_mod.relu")
    for names in (sites.original, ["tanh", "srs", "elu"]):
        network = apply_assignment(model, names, sites=sites)
        assert list(network.state_dict()) == list(model.state_dict())  # srs, tanh and elu have no tensors
        f = [OPERATORS[name] for name in names]
        y = model.features.module[2](f[0](model.features.module[0](x)))
        y = f[2](model.last.module.fc(f[1](model.classifier._orig_mod[0](y))))
        torch.testing.assert_close(network(x), y)
        assert not network.get_submodule("features.module.2.1").training
        assert [type(module) for module in model.modules()] == types
    network.load_state_dict(model.state_dict())


def in_parts():
    return InParts(traced=True)


def test_a_network_that_is_made_by_name_keeps_the_names_of_wrappers_only():
    model, x = make_model(f"{__name__}:in_parts", seed=0), torch.randn(3, 6)
    assert list(model.state_dict()) == list(in_parts().state_dict())
    assert {type(model.features), type(model.classifier), type(model.last.module)} == {PlainWrapper}
    wrapped = in_parts()
    wrapped.load_state_dict(model.state_dict())
    assert torch.equal(model(x), wrapped(x))


def test_the_network_is_not_changed(made):
    for name in NETWORKS:
        model, sites, _ = made(name)
        fresh = NETWORKS[name]()
        assert [type(m) for m in model.modules()] == [type(m) for m in fresh.modules()]
        replace_sites(model, sites, {site.node: nn.Identity() for site in sites})
        assert [type(m) for m in model.modules()] == [type(m) for m in fresh.modules()]
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Defaults(nn.Module):
    """Takes what it is rarely given."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(6, 6), nn.ReLU()

    def forward(self, x, before=None, *, bias=None):
        x = self.fc(x) if before is None else self.fc(before)
        return self.act(x if bias is None else x + bias)


def test_optional_arguments_keep_their_defaults():
    model, x = Defaults(), torch.randn(2, 6)
    sites = find_sites(model, (6,))
    assert (sites.traced, sites.names) == ("fx", ("act",))
    torch.testing.assert_close(apply_assignment(model, ["tanh"], sites=sites)(x), model.fc(x).tanh())


def test_sites_travel_without_the_network(made):
    _, sites, _ = made("whole")
    assert pickle.loads(pickle.dumps(sites)) == sites


class Noisy(nn.Module):
    """Adds noise in training, after a function."""

    def __init__(self):
        super().__init__()
        self.fc, self.noise = nn.Linear(6, 6), nn.Dropout(0.5)

    def forward(self, x):
        x = F.relu(F.dropout(self.fc(x), 0.1, self.training))
        return self.noise(x) if self.training else x


class Around(nn.Module):
    """Has something inside that changes with the mode, and changes itself if that is wanted."""

    def __init__(self, inner, *, auxiliary):
        super().__init__()
        self.inner, self.auxiliary = inner, nn.Linear(6, 3) if auxiliary else None

    def forward(self, x):
        x = self.inner(x)
        if self.training and self.auxiliary is not None:
            return torch.relu(self.auxiliary(x))
        return x


class Untraced(nn.Module):
    """Cannot be traced itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if x.shape[0] < 1000 else x


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Plain(), []),
        (Noisy(), [""]),
        (nn.Sequential(Plain(), Noisy()), ["1"]),
        (Around(Plain(), auxiliary=True), [""]),
        (Around(Noisy(), auxiliary=True), [""]),
        (Around(Noisy(), auxiliary=False), ["inner"]),
        (Untraced(Noisy()), ["inner"]),
    ],
)
def test_what_is_left_out_of_training_is_said(model, expected):
    sites = find_sites(model, (6,))
    assert list(sites.parts.evaluated) == expected
    left_out = [warning for warning in describe("x", model, sites, None, (6,))["warnings"] if "left out" in warning]
    subjects = [f"Module {path} " if path else "The network " for path in expected]
    assert [warning[: len(subject)] for warning, subject in zip(left_out, subjects, strict=True)] == subjects


def test_what_stays_python_code_is_not_said_to_be_left_out():
    assert find_sites(Untraced(Noisy())).parts.evaluated == ()
    assert find_sites(nn.Sequential(Noisy(), StochasticDepth(0.5, "row")), (6,)).parts.evaluated == ("0",)
