import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.utils import parameters_to_vector

from safs.models.lenet import LeNet5
from safs.sites import find_sites
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment, read_choices, replace_sites
from spaces.activation import Activation
from spaces.errors import SafsError, UnknownNameError
from spaces.operators import OPERATORS, PAPER_OPERATORS


class Own(nn.Module):
    """An operator as plain PyTorch, without the table's factors."""

    def __init__(self, site):
        super().__init__()
        self.operator = OPERATORS[site.operator]
        self.constants = site.constants
        self.channel_dim = site.channel_dim

    def forward(self, x):
        shape = [-1 if i == self.channel_dim % x.ndim else 1 for i in range(x.ndim)]
        lists = {k: torch.tensor(v).reshape(shape) if isinstance(v, list) else v for k, v in self.constants.items()}
        return self.operator(x, **lists)


class Mixed(nn.Module):
    """What people write: one module several times, functions, methods, in place and not, sigmoids of all kinds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.prelu = nn.PReLU(4)
        inner = nn.Sequential(nn.BatchNorm2d(4), nn.LeakyReLU(0.1, inplace=True))
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3), inner)
        self.gate = nn.Linear(4, 4)
        self.fc = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)
        with torch.no_grad():
            self.prelu.weight.copy_(torch.tensor([0.5, -0.3, 0.1, 1.5]))

    def forward(self, x):
        x = self.conv(x)
        self.relu(x)  # its result is not used, but x has changed
        y = self.prelu(x - 0.5)
        y = self.block(y)
        y = y * torch.sigmoid(self.gate(y.mean((2, 3))))[:, :, None, None]
        z = y * torch.sigmoid(y)
        z = F.elu(z - 0.2, 1.0) + z  # 1.0 is α, not inplace
        z = self.fc(z.mean((2, 3)))
        u = z - 0.1
        v = u.relu_()
        z = v + 2 * u  # u is v
        z = F.elu(z, 0.7, True)
        s = torch.sigmoid(z)
        z = F.gelu(z, approximate="tanh") + s + F.hardtanh(z, -0.3, 0.4)
        return self.head(self.relu(z))


class InPlaceAfter(nn.Module):
    """Overwrites the outputs of activations that do not need them for their backward pass."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.act = nn.Hardswish(inplace=True)
        self.dropout = nn.Dropout(0.1, inplace=True)

    def forward(self, x):
        x = self.dropout(self.act(self.fc1(x)))
        y = F.silu(self.fc2(x))
        y += x
        y = F.silu(y)
        y.mul_(2)
        return self.fc3(y)


class Odd(nn.Module):
    """Tied modules and tensors, unused parameters, buffers of all kinds, tensors that forward makes."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.same = self.fc
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.fc.weight
        self.spare = nn.Parameter(torch.ones(2))
        self.never = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
        self.partly = nn.ModuleDict({"used": nn.Linear(4, 4), "unused": nn.Linear(3, 3)})
        self.register_buffer("kept", torch.full((4,), 0.5))
        self.register_buffer("passing", torch.full((4,), 2.0), persistent=False)
        self.register_buffer("idle", torch.zeros(3), persistent=False)
        self.register_buffer("nothing", None)
        self.plain = torch.full((4,), 1.5)
        self.act = nn.Tanh()
        self.again = self.act

    def forward(self, x):
        x = self.again(self.same(self.act(self.fc(x)))) * self.kept
        x = F.relu(self.tied(x) + self.passing) * self.plain
        return self.partly["used"](x) + torch.tensor([1.0, 2.0, 3.0, 4.0])


class Moody(nn.Module):
    """Passes self.training to functions, in a submodule too, and does more in training."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(50, 50)

        def forward(self, x):
            return F.dropout(F.relu(self.fc(x)), 0.5, self.training)

    def __init__(self):
        super().__init__()
        self.one, self.two = self.Block(), self.Block()
        self.bn = nn.BatchNorm1d(50)
        self.aux = nn.Linear(50, 3)

    def forward(self, x):
        x = self.one(x)
        if self.training:
            self.aux(x)
        return F.dropout(self.bn(self.two(x)), training=self.training)


class Attention(nn.Module):
    """Reads numbers from its mode: the dropout of the fused attention, and a factor."""

    def __init__(self):
        super().__init__()
        self.qkv, self.fc = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v, dropout_p=0.4 if self.training else 0.0)
        return (1.0 if self.training else 0.9) * F.gelu(self.fc(F.gelu(x)))


def tv(name, **kwargs):
    return torchvision.models.get_model(name, weights=None, **kwargs)


def thin_efficientnet():
    blocks = [
        torchvision.models.efficientnet.MBConvConfig(t, 3, stride, a, b, n)
        for t, stride, a, b, n in ((1, 1, 8, 8, 1), (4, 2, 8, 16, 2))
    ]
    return torchvision.models.EfficientNet(blocks, dropout=0.2, stochastic_depth_prob=0.5, num_classes=5)


NETWORKS = {
    "mixed": (Mixed, (2, 6, 6)),
    "odd": (Odd, (4,)),
    "in_place_after": (InPlaceAfter, (6,)),
    "moody": (Moody, (50,)),
    "attention": (Attention, (5, 8)),
    "lenet5": (LeNet5, (1, 28, 28)),
    "resnet18": (lambda: tv("resnet18", num_classes=5), (3, 32, 32)),
    "mobilenet_v3": (lambda: tv("mobilenet_v3_small", num_classes=5, width_mult=0.25), (3, 32, 32)),
    "efficientnet": (lambda: thin_efficientnet(), (3, 32, 32)),
    "densenet": (lambda: torchvision.models.DenseNet(8, (2, 2), 8, drop_rate=0.2, num_classes=5), (3, 32, 32)),
    "googlenet": (lambda: tv("googlenet", num_classes=5, init_weights=False, aux_logits=False), (3, 32, 32)),
}
LARGE = ("resnet18", "googlenet")
every_network = pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LARGE])


@pytest.fixture(scope="module")
def made():
    """Networks with their sites, made once: no test may change them."""
    cache = {}

    def make(name):
        if name not in cache:
            factory, shape = NETWORKS[name]
            torch.manual_seed(0)
            model = factory()
            for module in model.modules():  # statistics of some data, or deep networks give all but zero
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.running_var.fill_(0.5)
            cache[name] = model, find_sites(model, shape), torch.randn(3, *shape)
        return cache[name]

    return make


def outputs_and_gradients(model, x, seed=3):
    """Return what a step computes, the random numbers of dropout always the same."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    torch.manual_seed(seed)
    y = model(x)
    y.square().sum().backward()
    named = dict(model.named_parameters())
    gradients = {k: v.grad for k, v in named.items() if v.grad is not None and not k.startswith(ACTIVATIONS)}
    return y.detach(), x.grad, gradients


def snapshot(model):
    state = {k: v.clone() for k, v in model.state_dict().items()}
    return state, [m.training for m in model.modules()], [len(m._forward_hooks) for m in model.modules()]


def assert_unchanged(model, before):
    state, modes, hooks = snapshot(model)
    assert all(torch.equal(state[name], tensor) for name, tensor in before[0].items())
    assert (modes, hooks) == before[1:]


@every_network
@pytest.mark.parametrize("training", [False, True])
def test_original_operators_put_back_are_the_original_network(name, training, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).train(training)
    before = snapshot(model)
    bare = replace_sites(model, sites, {site.node: Own(site) for site in sites})
    assert_unchanged(model, before)
    y, dx, gradients = outputs_and_gradients(model, x)
    other_y, other_dx, other_gradients = outputs_and_gradients(bare, x)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(other_y, y, **close)
    torch.testing.assert_close(other_dx, dx, **close)
    assert set(other_gradients) <= set(gradients)
    gone = {g for g in set(gradients) - set(other_gradients) if "prelu" not in g}
    assert not gone
    for key, gradient in other_gradients.items():
        torch.testing.assert_close(gradient, gradients[key], rtol=1e-3, atol=1e-4)


@every_network
@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_keeps_its_operators_is_bit_equal(name, training, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).train(training)
    network = apply_assignment(model, sites.original, sites=sites)
    assert not [key for key in network.state_dict() if key.startswith(ACTIVATIONS)]
    y, dx, gradients = outputs_and_gradients(model, x)
    other_y, other_dx, other_gradients = outputs_and_gradients(network, x)
    assert torch.equal(other_y, y)
    assert torch.equal(other_dx, dx)
    assert set(other_gradients) == set(gradients)
    assert all(torch.equal(other_gradients[key], gradient) for key, gradient in gradients.items())


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "lenet5", "moody"])
def test_relu_put_back_is_bit_equal_in_outputs_and_gradients(name, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).train()
    network = replace_sites(model, sites, {site.node: Activation(OPERATORS["relu"]) for site in sites})
    y, dx, gradients = outputs_and_gradients(model, x)
    other_y, other_dx, other_gradients = outputs_and_gradients(network, x)
    assert torch.equal(other_y, y)
    assert torch.equal(other_dx, dx)
    assert all(torch.equal(other_gradients[key], gradient) for key, gradient in gradients.items())


@every_network
@pytest.mark.parametrize("per_channel", [False, True])
def test_learnable_factors_start_as_the_original_network(name, per_channel, made):
    model, sites, x = made(name)
    network = apply_assignment(model, sites.original, sites=sites, learn=True, per_channel=per_channel)
    scales = [key for key in network.state_dict() if key.startswith(ACTIVATIONS)]
    assert len(scales) >= 2 * len(sites)
    with torch.no_grad():
        torch.testing.assert_close(
            network.eval()(x), copy.deepcopy(model).eval()(x), rtol=1e-4, atol=1e-5
        )  # and not a copy of it in another mode


@every_network
def test_state_dict_names_stay(name, made):
    model, sites, _ = made(name)
    for network in (
        apply_assignment(model, ["srs"] * len(sites), sites=sites),
        apply_assignment(model, ["srs"] * len(sites), sites=sites, learn=True),
    ):
        own = {k: v for k, v in network.state_dict().items() if not k.startswith(ACTIVATIONS)}
        assert set(own) == set(model.state_dict())
        assert all(torch.equal(own[key], tensor) for key, tensor in model.state_dict().items())
        network.load_state_dict(model.state_dict(), strict=False)
        buffers = {k for k, _ in model.named_buffers()}
        assert buffers <= {k for k, _ in network.named_buffers()}
        shared = {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in network.parameters()}
        assert not shared


@every_network
def test_one_step_with_mixed_operators(name, made):
    model, sites, x = made(name)
    names = [PAPER_OPERATORS[i % len(PAPER_OPERATORS)].replace("symexp", "symlog") for i in range(len(sites))]
    model = copy.deepcopy(model).train()
    before = snapshot(model)
    network = apply_assignment(model, names, sites=sites, learn=True)
    weights = parameters_to_vector(p for p in network.parameters() if p.requires_grad).detach().clone()
    y, _, gradients = outputs_and_gradients(network, x)
    assert torch.isfinite(y).all()
    assert gradients
    torch.optim.SGD(network.parameters(), lr=1e-4).step()
    assert not torch.equal(parameters_to_vector(p for p in network.parameters() if p.requires_grad), weights)
    scales = {k: p for k, p in network.named_parameters() if k.startswith(ACTIVATIONS)}
    assert all(p.grad is not None for p in scales.values())
    assert_unchanged(model, before)


@pytest.mark.parametrize("operator", ["tanh", "sigmoid", "relu", "elu"])
def test_what_overwrites_an_activation_does_not_break_its_gradient(operator):
    model, x = InPlaceAfter(), torch.randn(4, 6)
    model.dropout.p = 0.0
    network = apply_assignment(model, [operator] * 3)
    f = OPERATORS[operator]

    def expected(x):
        x = f(model.fc1(x))
        return model.fc3(2 * f(f(model.fc2(x)) + x))

    y, dx, gradients = outputs_and_gradients(network, x)
    z = x.clone().requires_grad_()
    expected(z).square().sum().backward()
    torch.testing.assert_close(y, expected(x))
    torch.testing.assert_close(dx, z.grad)
    torch.testing.assert_close(gradients["fc1.weight"], model.fc1.weight.grad)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: F.elu(x, 1.0) + x, lambda f, x: f(x) + x),
        (lambda x: torch.celu(x, 1.0) + x, lambda f, x: f(x) + x),  # 1.0 == True
        (lambda x: F.softplus(x, 1) + x, lambda f, x: f(x) + x),
        (lambda x: F.elu(x, 0.5, True) + x, lambda f, x: 2 * f(x)),
        (lambda x: F.relu(x, True) + x, lambda f, x: 2 * f(x)),
        (lambda x: F.relu(x, inplace=True) + x, lambda f, x: 2 * f(x)),
        (lambda x: F.hardtanh(x, -1.0, 1.0, True) + x, lambda f, x: 2 * f(x)),
        (lambda x: torch.relu_(x) + x, lambda f, x: 2 * f(x)),
        (lambda x: x.sigmoid_() + x, lambda f, x: 2 * f(x)),
        (lambda x: F.relu(input=x) + x, lambda f, x: f(x) + x),
        (lambda x: x.mul_(torch.sigmoid(x)) + x, lambda f, x: 2 * f(x)),
        (lambda x: torch.sigmoid(x).mul_(x) + x, lambda f, x: f(x) + x),
        (lambda x: x * torch.sigmoid(x) + torch.sigmoid(x), lambda f, x: f(x) + torch.sigmoid(x)),
    ],
)
def test_in_place(function, expected):
    class Net(nn.Module):
        def forward(self, x):
            return function(x + 0)

    x = torch.randn(50)
    sites = find_sites(Net())
    choices = ["srs", *sites.original[1:]]
    torch.testing.assert_close(apply_assignment(Net(), choices, sites=sites)(x), expected(OPERATORS["srs"], x))


def test_a_sigmoid_that_is_part_of_a_swish_and_used_elsewhere_stays():
    class Net(nn.Module):
        def forward(self, x):
            s = torch.sigmoid(x)
            return x * s + s

    x = torch.randn(9)
    torch.testing.assert_close(apply_assignment(Net(), ["tanh"])(x), torch.tanh(x) + torch.sigmoid(x))


def test_functional_dropout_follows_the_mode(made):
    model, sites, x = made("densenet")
    network = apply_assignment(model, ["relu"] * (len(sites) - 1) + ["tanh"], sites=sites)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), network(x))
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.0
        assert not torch.equal(network.train()(x), network(x))


class OfTheMode(nn.Module):
    """A function of a network with two layers."""

    def __init__(self, function):
        super().__init__()
        self.function, self.fc, self.last = function, nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.last(self.function(self, self.fc(x)))


def attended(net, x):
    x = x[:, None].expand(-1, 4, -1)
    return F.scaled_dot_product_attention(x, x, F.relu(x), None, 0.5 if net.training else 0).sum(1)


@pytest.mark.parametrize(
    ("function", "sites", "gates"),
    [
        (attended, ("relu",), 0),
        (lambda net, x: F.dropout(F.relu(x), 0.5, not net.training), ("relu",), 0),
        (lambda net, x: F.dropout(F.relu(x), 0.5 if net.training else 0.1), ("relu",), 0),
        (lambda net, x: torch.sigmoid(x) * (3.0 if net.training else 0.9), ("sigmoid",), 0),
        (lambda net, x: x * ((3.0 if net.training else 0.9) * torch.sigmoid(-x)), (), 1),
        (lambda net, x: F.leaky_relu(x, 0.5 if net.training else 0.1).tanh(), ("tanh",), 0),  # the slope is not one
        (lambda net, x: F.relu(x).mul(2 if net.training else 1).add(4 if net.training else 5), ("relu",), 0),
    ],
)
@pytest.mark.parametrize("pickled", [False, True])
def test_arguments_that_depend_on_the_mode(function, sites, gates, pickled):
    model, x = OfTheMode(function), torch.randn(20, 6)
    found = find_sites(model, (6,))
    assert (found.original, len(found.gates), found.traced, found.parts.evaluated) == (sites, gates, "fx", ())
    if not sites:
        return
    network = apply_assignment(model, sites, sites=found)
    network = pickle.loads(pickle.dumps(network)) if pickled else network
    for training in (True, False):
        y, dx, gradients = outputs_and_gradients(model.train(training), x)
        other_y, other_dx, other_gradients = outputs_and_gradients(network.train(training), x)
        assert torch.equal(other_y, y)
        assert torch.equal(other_dx, dx)
        assert all(torch.equal(other_gradients[key], gradient) for key, gradient in gradients.items())
    assert not torch.equal(outputs_and_gradients(network.train(), x)[0], outputs_and_gradients(network.eval(), x)[0])


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: F.relu(x).sum((1,) if net.training else (-1,), True).expand(-1, 6),
        lambda net, x: chosen(x, F.relu(x), net.training),
        lambda net, x: F.relu(x) * torch.tensor([3.0 if net.training else 1.0]),
    ],
)
def test_what_else_depends_on_the_mode_is_said(function):
    assert find_sites(OfTheMode(function), (6,)).parts.evaluated == ("",)
    assert find_sites(nn.Sequential(OfTheMode(function), nn.Linear(6, 2)), (6,)).parts.evaluated == ("0",)


def chosen(x, y, training):
    return torch.cat([x, y] if training else [y, x], 1)[:, :6]


@pytest.mark.parametrize("training", [False, True])
def test_the_dropout_of_fused_attention_in_timm(training):
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", attn_drop_rate=0.1, img_size=48, depth=2, num_classes=3)
    x = torch.randn(2, 3, 48, 48)
    sites = find_sites(model, (3, 48, 48))
    assert (sites.original, sites.traced, sites.parts.evaluated) == (("gelu", "gelu"), "fx", ())
    y, dx, _ = outputs_and_gradients(model.train(training), x)
    other_y, other_dx, _ = outputs_and_gradients(apply_assignment(model, sites.original, sites=sites), x)
    assert torch.equal(other_y, y)
    assert torch.equal(other_dx, dx)
    assert torch.equal(outputs_and_gradients(model, x, seed=4)[0], y) is not training


@pytest.mark.parametrize("how", ["as it is", "deepcopy", "pickle"])
def test_modes_of_submodules(how):
    model = Moody()
    model.train()
    model.two.eval()
    model.bn.eval()
    network = apply_assignment(model, ["tanh", "relu"])
    if how != "as it is":
        network = copy.deepcopy(network) if how == "deepcopy" else pickle.loads(pickle.dumps(network))
    modes = {name: module.training for name, module in model.named_modules() if list(module.parameters(recurse=False))}
    assert {k: m.training for k, m in network.named_modules() if k in modes} == modes
    x = torch.randn(40, 50)

    def zeros(path):
        (node,) = (n for n in network.graph.nodes if n.name == path)
        values = {}

        class Run(torch.fx.Interpreter):
            def run_node(self, n):
                values[n] = super().run_node(n)
                return values[n]

        Run(network).run(x)
        return float((values[node] == 0).float().mean())

    # Nothing of tanh is zero and half of relu: the rest are the dropout's. "two" is in evaluation, the network is not.
    assert zeros("dropout") == pytest.approx(0.5, abs=0.1)
    assert zeros("dropout_1") == pytest.approx(0.5, abs=0.1)
    assert zeros("dropout_2") == pytest.approx(0.75, abs=0.1)
    network.eval()
    assert zeros("dropout") == 0
    assert zeros("dropout_1") == pytest.approx(0.5, abs=0.1)
    network.train()
    assert zeros("dropout_1") == pytest.approx(0.75, abs=0.1)


@every_network
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies(name, how, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).eval()
    network = apply_assignment(model, ["srs"] * len(sites), sites=sites, learn=True)
    other = copy.deepcopy(network) if how == "deepcopy" else pickle.loads(pickle.dumps(network))
    assert set(other.state_dict()) == set(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(x), network(x))
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert not any(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_tied_weights_stay_tied():
    network = apply_assignment(Odd(), ["srs"] * 3)
    assert network.tied.weight is network.fc.weight
    assert network.get_parameter("same.weight") is network.fc.weight
    copied = copy.deepcopy(network)
    assert copied.tied.weight is copied.fc.weight


def test_unused_modules_stay_what_they_are():
    network = apply_assignment(Odd(), ["srs"] * 3)
    assert network.partly.unused.weight.shape == (3, 3)
    assert set(network.state_dict()) == set(Odd().state_dict())
    assert network.idle.shape == (3,)


def test_operators_arrive_at_their_sites():
    model = LeNet5().eval()
    names = ["srs", "tanh", "symlog", "acon"]
    x = torch.randn(3, 1, 28, 28)
    f = [OPERATORS[name] for name in names]
    y = model.pool1(f[0](model.conv1(x)))
    y = model.pool2(f[1](model.conv2(y))).flatten(1)
    y = model.fc3(f[3](model.fc2(f[2](model.fc1(y)))))
    network = apply_assignment(model, names)
    assert torch.equal(network(x), y)
    sites = find_sites(model)
    assert [choice.operator for choice in read_choices(network, sites)] == names


def test_node_names_that_look_numbered():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu_2, self.relu, self.relu_1, self.relu_1_1 = (nn.ReLU() for _ in range(4))
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.relu_1_1(self.relu(self.fc(self.relu_1(self.fc(self.relu(self.relu_2(self.fc(x))))))))

    model, x = Net(), torch.randn(3, 4)
    names = ["identity", "tanh", "srs", "symlog", "elu"]
    a, b, c, d, e = (OPERATORS[name] for name in names)
    expected = e(d(model.fc(c(model.fc(b(a(model.fc(x))))))))
    assert torch.equal(apply_assignment(model, names)(x), expected)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", ["mixed", "lenet5"])
def test_choices_round_trip(name, per_channel, made):
    model, sites, x = made(name)
    model = copy.deepcopy(model).eval()
    names = [PAPER_OPERATORS[(3 * i) % len(PAPER_OPERATORS)] for i in range(len(sites))]
    names[1] = sites.original[1]
    network = apply_assignment(model, names, sites=sites, learn=True, per_channel=per_channel)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.startswith(ACTIVATIONS):
                parameter.add_(0.1 * torch.rand_like(parameter))
    again = apply_assignment(model, read_choices(network, sites), sites=sites)
    torch.testing.assert_close(again(x), network(x))
    assert not any(
        p.requires_grad for k, p in again.named_parameters() if k.startswith(ACTIVATIONS) and "slope" not in k
    )


def test_choices_of_sites_that_kept_their_own_call(made):
    model, sites, _ = made("mixed")
    network = apply_assignment(model, sites.original, sites=sites)
    with torch.no_grad():
        network.prelu.weight.fill_(0.75)
    choices = read_choices(network, sites)
    assert [choice.operator for choice in choices] == list(sites.original)
    constants = {site.name: dict(choice.constants) for site, choice in zip(sites, choices, strict=True)}
    assert constants["prelu"] == {"slope": [0.75] * 4}  # trained, not those that were found
    assert constants["block.1.1"] == {"slope": 0.1}
    unpruned = apply_assignment(model, read_choices(model, sites), sites=sites)
    assert not [key for key in unpruned.state_dict() if key.startswith(ACTIVATIONS)]


def test_own_operator_with_other_factors_is_replaced():
    model, x = nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.1)), torch.randn(5, 3)
    y = apply_assignment(model, [SiteChoice("leaky_relu", alpha=2.0)])(x)
    torch.testing.assert_close(y, 2 * model(x))
    y = apply_assignment(model, [SiteChoice("leaky_relu", constants={"slope": 0.5})])(x)
    torch.testing.assert_close(y, F.leaky_relu(model[0](x), 0.5))


@pytest.mark.parametrize(
    ("assignment", "error", "message"),
    [
        (["relu"], SafsError, "has 4 activation sites, but got 1 operators"),
        (["relu", "relu", "sws", "relu"], UnknownNameError, "Unknown operator 'sws'"),
    ],
)
def test_bad_assignments(assignment, error, message):
    with pytest.raises(error, match=message):
        apply_assignment(LeNet5(), assignment)


def test_values_per_channel_need_shapes():
    with pytest.raises(SafsError, match="'relu1' need the network's input shape"):
        apply_assignment(LeNet5(), ["srs"] * 4, learn=True, per_channel=True)
    with pytest.raises(SafsError, match="alpha needs one value for each of 6 channels, but got 2"):
        apply_assignment(LeNet5(), [SiteChoice("srs", alpha=[1.0, 2.0])] + ["relu"] * 3, input_shape=(1, 28, 28))


def test_a_site_of_one_number_for_each_example_has_no_values_per_channel():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return torch.sigmoid(self.fc(x).sum(1))

    model, sites = Net(), find_sites(Net(), (4,))
    with pytest.raises(SafsError, match=r"^'srelu' with values per channel does not fit 'sigmoid', whose"):
        apply_assignment(model, ["srelu"], sites=sites)
    with pytest.raises(SafsError, match="leave out per_channel"):
        apply_assignment(model, ["srs"], sites=sites, learn=True, per_channel=True)
    assert apply_assignment(model, ["srs"], sites=sites, learn=True)(torch.randn(3, 4)).shape == (3,)


class Rectified(nn.Module):
    """Keeps its factors positive, and has an MLP of its own coordinates."""

    def __init__(self):
        super().__init__()
        self.factors, self.softplus = nn.Parameter(torch.zeros(4)), nn.Softplus()
        self.register_buffer("coordinates", torch.randn(1, 2))
        self.first, self.last = nn.Linear(2, 3), nn.Linear(3, 4)

    def forward(self, x):
        x = x * F.softplus(self.factors) + self.softplus(self.factors + 1)
        return F.relu(x + self.last(torch.tanh(self.first(self.coordinates))))


def test_an_activation_function_of_parameters_is_no_site():
    assert find_sites(Rectified(), (4,)).names == ("tanh", "relu")


def test_a_network_without_sites():
    with pytest.raises(SafsError, match="Sequential has no activation site"):
        apply_assignment(nn.Sequential(nn.Linear(2, 2)), [])


def test_a_network_is_not_operated_on_twice():
    network = apply_assignment(LeNet5(), ["srs"] * 4, learn=True)
    with pytest.raises(SafsError, match="LeNet5 has SAFS's activations already"):
        find_sites(network)
    with pytest.raises(SafsError, match="LeNet5 has 'safs_activations' already"):
        apply_assignment(network, ["relu"] * 4, sites=find_sites(LeNet5()))


class WrittenOut(nn.Module):
    """Mish, hardswish and a hard gate as networks write them out."""

    def __init__(self):
        super().__init__()
        self.fc, self.relu6 = nn.Linear(4, 4), nn.ReLU6(inplace=True)

    def forward(self, x):
        x = self.fc(x)
        x = x * torch.tanh(F.softplus(x))
        x = x * (self.relu6(self.fc(x) + 3) / 6)
        return x * self.relu6(x + 3) / 6


def test_activations_that_are_written_out_over_several_calls():
    model, x = WrittenOut(), 3 * torch.randn(50, 4)
    sites = find_sites(model, (4,))
    assert (sites.original, [gate.operator for gate in sites.gates]) == (("mish", "hardswish"), ["hardsigmoid"])
    assert [site.shape for site in sites] == [(4,), (4,)]
    y, dx, gradients = outputs_and_gradients(model, x)
    other_y, other_dx, other_gradients = outputs_and_gradients(apply_assignment(model, sites.original, sites=sites), x)
    assert torch.equal(other_y, y)
    assert torch.equal(other_dx, dx)
    assert all(torch.equal(other_gradients[key], gradient) for key, gradient in gradients.items())
    torch.testing.assert_close(apply_assignment(model, sites.original, sites=sites, learn=True)(x), model(x))
    h = model.fc(x).tanh()
    gated = h * F.hardsigmoid(model.fc(h))
    torch.testing.assert_close(apply_assignment(model, ("tanh", "relu"), sites=sites)(x), gated.relu())
    network = apply_assignment(model, ("tanh", "relu"), sites=sites)
    assert list(network.state_dict()) == list(model.state_dict())
    left = [node.target for node in network.graph.nodes if node.op.startswith("call")]
    assert not {torch.tanh, F.softplus} & set(left)
    assert left.count("relu6") == 1  # the gate's


def test_a_network_with_parametrised_weights():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.ReLU(), nn.Linear(3, 2))
    x = torch.randn(5, 3)
    network = apply_assignment(model, ("tanh",))
    torch.testing.assert_close(network(x), model[2](model[0](x).tanh()))
    assert set(network.state_dict()) == set(model.state_dict())
