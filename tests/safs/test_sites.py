import contextlib
import copy
import io
import math
import pickle
from collections import Counter
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from safs.kept_whole import warnings_of
from safs.sites import find_sites
from safs.surgery import apply_assignment
from spaces.errors import SafsError
from spaces.operators import OPERATORS


def tv(name, **kwargs):
    return torchvision.models.get_model(name, weights=None, **kwargs)


class Net(nn.Module):
    """A network of one function, with the layers that it is given."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def found(function, shape=None, **layers):
    return find_sites(Net(function, **layers), shape)


def summary(sites):
    return [(site.name, site.operator, dict(site.constants)) for site in sites]


def test_resnet18_has_17_sites_in_forward_order():
    sites = find_sites(tv("resnet18"), (3, 32, 32))
    assert len(sites) == 17
    assert sites.names[:5] == ("relu", "layer1.0.relu#1", "layer1.0.relu#2", "layer1.1.relu#1", "layer1.1.relu#2")
    assert sites.original == ("relu",) * 17
    assert [site.channels for site in sites] == [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4
    assert sites.sites[0].shape == (64, 16, 16)
    assert sites.gates == ()
    assert sites.traced == "fx"


def test_googlenet_calls_functions():
    sites = find_sites(tv("googlenet", init_weights=False, num_classes=10), (3, 32, 32))
    assert len(sites) == 57
    assert sites.names[0] == "conv1.relu"
    assert set(sites.original) == {"relu"}
    assert sites.parts.evaluated == ("",)  # its auxiliary classifiers are called in training alone


@pytest.mark.parametrize(
    ("name", "sites", "gates"),
    [
        ("efficientnet_b0", {"swish": 49}, {"sigmoid": 16}),
        ("mobilenet_v3_small", {"relu": 14, "hardswish": 19}, {"hardsigmoid": 9}),
        ("densenet121", {"relu": 121}, {}),
    ],
)
def test_torchvision(name, sites, gates):
    result = find_sites(tv(name), (3, 32, 32))
    assert Counter(result.original) == sites
    assert Counter(gate.operator for gate in result.gates) == gates


def test_one_module_called_several_times_beside_functions_and_methods():
    def run(net, x):
        x = net.act(net.fc(x))
        x = net.act(F.relu(net.fc(x)))
        return torch.tanh(x).relu()

    assert summary(found(run, fc=nn.Linear(4, 4), act=nn.ELU())) == [
        ("act#1", "elu", {}), ("relu#1", "relu", {}), ("act#2", "elu", {}), ("tanh", "tanh", {}),
        ("relu#2", "relu", {}),
    ]  # fmt: skip


MODULES = [
    (nn.ReLU(), "relu", {}),
    (nn.ReLU6(), "relu6", {}),
    (nn.LeakyReLU(0.1), "leaky_relu", {"slope": 0.1}),
    (nn.LeakyReLU(), "leaky_relu", {}),
    (nn.PReLU(init=0.3), "prelu", {"slope": pytest.approx(0.3)}),
    (nn.ELU(0.7), "elu", {"a": 0.7}),
    (nn.CELU(2), "celu", {"a": 2.0}),
    (nn.SELU(), "selu", {}),
    (nn.GELU(), "gelu", {}),
    (nn.GELU("tanh"), "gelu_tanh", {}),
    (nn.SiLU(), "swish", {}),
    (nn.Mish(), "mish", {}),
    (nn.Hardswish(), "hardswish", {}),
    (nn.Hardsigmoid(), "hardsigmoid", {}),
    (nn.Hardtanh(-2, 0.5), "hardtanh", {"low": -2.0, "high": 0.5}),
    (nn.Sigmoid(), "sigmoid", {}),
    (nn.LogSigmoid(), "logsigmoid", {}),
    (nn.Tanh(), "tanh", {}),
    (nn.Tanhshrink(), "tanhshrink", {}),
    (nn.Softplus(2), "softplus", {"sharpness": 2.0}),
    (nn.Softsign(), "softsign", {}),
    (nn.Softshrink(0.7), "softshrink", {"width": 0.7}),
    (nn.Hardshrink(), "hardshrink", {}),
    (nn.Threshold(0.1, 20), "threshold", {"threshold": 0.1, "value": 20.0}),
    (nn.Threshold(0, 0), "relu", {}),
]


@pytest.mark.parametrize(("module", "operator", "constants"), MODULES, ids=lambda v: str(v)[:20])
def test_modules(module, operator, constants):
    assert summary(find_sites(nn.Sequential(nn.Linear(3, 3), module))) == [("1", operator, constants)]


CALLS = [
    (lambda x: F.leaky_relu(x, 0.2), "leaky_relu", {"slope": 0.2}),
    (lambda x: F.leaky_relu(x, negative_slope=0.2, inplace=True), "leaky_relu", {"slope": 0.2}),
    (lambda x: F.leaky_relu_(x, 0.2), "leaky_relu", {"slope": 0.2}),
    (lambda x: F.elu(x, 0.5), "elu", {"a": 0.5}),
    (lambda x: F.elu_(x), "elu", {}),
    (lambda x: F.selu_(x), "selu", {}),
    (lambda x: F.celu_(x, 0.5), "celu", {"a": 0.5}),
    (lambda x: F.hardtanh_(x, 0.0, 4.0), "hardtanh", {"low": 0.0, "high": 4.0}),
    (lambda x: F.hardtanh(x, max_val=3.0), "hardtanh", {"high": 3.0}),
    (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh", {}),
    (lambda x: F.softplus(x, beta=3), "softplus", {"sharpness": 3.0}),
    (lambda x: torch.celu(x, 0.5), "celu", {"a": 0.5}),
    (lambda x: torch.sigmoid(x), "sigmoid", {}),
    (lambda x: x.tanh(), "tanh", {}),
    (lambda x: x.relu_(), "relu", {}),
    (lambda x: F.silu(x, inplace=True), "swish", {}),
    (lambda x: F.softshrink(x, 0.7), "softshrink", {"width": 0.7}),
    (lambda x: x.hardshrink(0.7), "hardshrink", {"width": 0.7}),
    (lambda x: F.threshold(x, 0.0, value=-1.0), "threshold", {"value": -1.0}),
    (lambda x: F.threshold_(x, 0.0, 0.0), "relu", {}),
]


@pytest.mark.parametrize(("call", "operator", "constants"), CALLS)
def test_functions_and_methods(call, operator, constants):
    ((_, got, values),) = summary(found(lambda net, x: call(net.fc(x)), fc=nn.Linear(3, 3)))
    assert (got, values) == (operator, constants)


def test_what_no_operator_does_is_told():
    sites = found(lambda net, x: F.rrelu(net.act(net.fc(x)).relu()), fc=nn.Linear(3, 3), act=nn.RReLU())
    assert (sites.traced, sites.names) == ("fx", ("relu",))
    assert [(call.name, call.operator) for call in sites.fixed] == [("act", "rrelu"), ("rrelu", "rrelu")]
    (warning,) = warnings_of(sites, run=False)
    assert warning.startswith("2 activation calls cannot be replaced (act: it is random in training")


def test_a_constant_that_is_computed_is_no_constant():
    net = Net(lambda net, x: F.relu(F.leaky_relu(net.fc(x), net.fc.bias[0])), fc=nn.Linear(3, 3))
    assert find_sites(net).original == ("relu",)


class Own(nn.ReLU):
    """Is a ReLU by another name."""


class Other(nn.ReLU):
    """Is none."""

    def forward(self, x):
        return F.relu(x) + 1


def test_subclasses():
    assert summary(find_sites(nn.Sequential(nn.Linear(3, 3), Own(), Other()))) == [
        ("1", "relu", {}), ("2.relu", "relu", {}),
    ]  # fmt: skip


def test_functional_prelu():
    class Slopes(nn.Module):
        def __init__(self):
            super().__init__()
            self.slopes = nn.Parameter(torch.tensor([0.5, 0.25]))

        def forward(self, x):
            return F.prelu(x, self.slopes)

    (site,) = find_sites(nn.Sequential(nn.Linear(2, 2), Slopes()))
    assert (site.name, site.operator, site.constants) == ("1.prelu", "prelu", {"slope": [0.5, 0.25]})


TIMM = {
    "Swish": "swish", "Mish": "mish", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid", "HardMish": "hard_mish", "PReLU": "prelu", "GELU": "gelu", "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu", "SwishMe": "swish", "MishMe": "mish", "HardSigmoidMe": "hardsigmoid",
    "HardSwishMe": "hardswish", "HardMishMe": "hard_mish",
}  # fmt: skip


@pytest.mark.parametrize(("name", "operator"), TIMM.items())
def test_activations_of_timm(name, operator):
    layers = pytest.importorskip("timm.layers")
    module = getattr(layers.activations_me if name.endswith("Me") else layers, name)()
    sites = find_sites(nn.Sequential(nn.Linear(3, 3), module))
    constants = {"slope": 0.25} if name == "PReLU" else {}
    assert (sites.traced, summary(sites)) == ("fx", [("1", operator, constants)])
    x = torch.linspace(-4, 4, 50)
    torch.testing.assert_close(OPERATORS[operator](x), module(x))


@pytest.mark.parametrize(
    ("name", "shape"), [("BatchNormAct2d", (4, 3, 3)), ("GroupNormAct", (4, 3, 3)), ("LayerNormAct2d", (4, 3, 3))]
)
def test_normalisations_of_timm_with_an_activation(name, shape):
    layers = pytest.importorskip("timm.layers")
    arguments = {"num_groups": 2} if name == "GroupNormAct" else {}
    norm = getattr(layers, name)(4, act_layer=nn.SiLU, **arguments)
    (site,) = find_sites(nn.Sequential(nn.Conv2d(4, 4, 1), norm), shape)
    assert (site.name, site.operator, site.shape) == ("1.act", "swish", shape)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_a_wrapped_network_is_refused(wrap):
    with pytest.raises(SafsError, match=r"^The network is wrapped in .*; give the network itself"):
        find_sites(wrap(nn.Sequential(nn.Linear(3, 3), nn.ReLU())))


def test_a_network_that_is_a_graph():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
    graph = torch.fx.symbolic_trace(model)
    assert find_sites(graph, (3,)).names == find_sites(model).names == ("1", "2.1")


def test_prelu_per_channel():
    prelu = nn.PReLU(3)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.5, 0.25, -1.0]))
    (site,) = find_sites(nn.Sequential(nn.Conv2d(1, 3, 3), prelu), (1, 5, 5))
    assert site.constants == {"slope": [0.5, 0.25, -1.0]}
    assert find_sites(nn.Sequential(nn.Conv2d(1, 3, 3), prelu)).traced == "fx"
    (site,) = find_sites(nn.Sequential(nn.Linear(4, 4), nn.PReLU(3)), (3, 4))
    assert (site.channel_dim, site.channels) == (1, 3)  # whatever is before it


def swish(_, x):
    return x * torch.sigmoid(x)


GATES = [
    ("swish", swish, [("swish", "swish")], []),
    ("swish, the other way round", lambda _, x: torch.sigmoid(x) * x, [("swish", "swish")], []),
    ("swish by a method", lambda _, x: x * x.sigmoid(), [("swish", "swish")], []),
    ("hardswish", lambda _, x: x * F.hardsigmoid(x), [("hardswish", "hardswish")], []),
    ("a gate", lambda n, x: x * torch.sigmoid(n.fc(x)), [], ["sigmoid"]),
    ("a gate, reshaped", lambda n, x: x * torch.sigmoid(n.fc(x.mean(1))).view(-1, 3, 1, 1), [], ["sigmoid"]),
    ("a gate, indexed", lambda n, x: x * torch.sigmoid(n.fc(x))[:, :, None, None], [], ["sigmoid"]),
    ("a gate by mul_", lambda n, x: n.fc(x).mul_(torch.sigmoid(x)), [], ["sigmoid"]),
    ("a gate and something else", lambda n, x: gate_and_more(n, x), [], ["sigmoid"]),
    ("a sigmoid", lambda n, x: torch.sigmoid(n.fc(x)), [("sigmoid", "sigmoid")], []),
    ("a sigmoid times a number", lambda n, x: 2 * torch.sigmoid(n.fc(x)), [("sigmoid", "sigmoid")], []),
    ("a squared sigmoid", lambda n, x: square(torch.sigmoid(n.fc(x))), [("sigmoid", "sigmoid")], []),
    ("a gate, scaled", lambda n, x: x * (2 * torch.sigmoid(n.fc(x))), [], ["sigmoid"]),
    ("a gate, turned round", lambda n, x: x * (1 - torch.sigmoid(n.fc(x))), [], ["sigmoid"]),
    ("a gate in pieces", lambda n, x: torch.sigmoid(n.fc(x)).chunk(3, -1)[0] * x, [], ["sigmoid"]),
    ("a gate, dropped out", lambda n, x: x * F.dropout(torch.sigmoid(n.fc(x))), [], ["sigmoid"]),
    ("a scaled and squared sigmoid", lambda n, x: square(2 * torch.sigmoid(n.fc(x))), [("sigmoid", "sigmoid")], []),
    ("a hard gate", lambda n, x: x * (F.relu6(n.fc(x) + 3.0) / 6.0), [], ["hardsigmoid"]),
    ("a hard gate, divided later", lambda n, x: x * F.relu6(3 + n.fc(x)) / 6, [], ["hardsigmoid"]),
    ("hardswish, divided later", lambda n, x: x * F.relu6(x + 3, inplace=True) / 6, [("hardswish", "hardswish")], []),
    ("hardswish, divided before", lambda n, x: F.relu6(x.add(3)) / 6 * x, [("hardswish", "hardswish")], []),
    ("hardswish, by a sixth", lambda n, x: x * (F.relu6(x + 3) * (1 / 6)), [("hardswish", "hardswish")], []),
    ("a shifted relu6", lambda n, x: F.relu6(n.fc(x) + 3) / 6, [("relu6", "relu6")], []),
    ("a hard gate, clamped", lambda n, x: x * ((n.fc(x) + 3).clamp(0, 6) / 6), [], ["hardsigmoid"]),
    ("another relu6", lambda n, x: x * F.relu6(n.fc(x) + 2) / 6, [("relu6", "relu6")], []),
    ("no hardswish", lambda n, x: x * F.relu6(x.add_(3)) / 6, [("relu6", "relu6")], []),
    ("hard mish", lambda n, x: 0.5 * x * (x + 2).clamp(min=0, max=2), [("hard_mish", "hard_mish")], []),
    ("no gelu", lambda n, x: 0.5 * x * (1 + torch.tanh(x)), [("tanh", "tanh")], []),
    ("mish", lambda n, x: x * torch.tanh(F.softplus(x)), [("mish", "mish")], []),
    ("mish, the other way round", lambda n, x: F.softplus(x).tanh() * x, [("mish", "mish")], []),
    ("no mish", lambda n, x: n.fc(x) * F.softplus(x).tanh(), [("softplus", "softplus"), ("tanh", "tanh")], []),
    ("swish, in place", lambda n, x: in_place_swish(n.fc(x)), [("swish", "swish")], []),
    ("quick gelu", lambda n, x: x * torch.sigmoid(1.702 * x), [("quick_gelu", "quick_gelu")], []),
    ("hardswish as timm writes it", lambda n, x: x.mul(F.relu6(x + 3.0).div_(6.0)), [("hardswish", "hardswish")], []),
    ("a gated linear unit", lambda n, x: F.glu(n.fc(x), 0), [], ["glu"]),
    ("a gated linear unit, written out", lambda n, x: glu(n.fc(x), torch.sigmoid), [], ["sigmoid"]),
    ("SwiGLU of halves", lambda n, x: glu(n.fc(x), F.silu), [("silu", "swish")], []),
    ("SwiGLU of two layers", lambda n, x: F.silu(n.fc(x)) * n.fc(x), [("silu", "swish")], []),
    ("GEGLU", lambda n, x: glu(n.fc(x), F.gelu), [("gelu", "gelu")], []),
    ("swish times a gate", lambda n, x: squeezed(n, F.silu(n.fc(x))), [("silu", "swish")], ["sigmoid"]),
    ("softmax", lambda n, x: torch.softmax(n.fc(x), -1) @ x, [], []),
    ("gelu by partial", lambda n, x: partial(F.gelu, approximate="tanh")(n.fc(x)), [("gelu", "gelu_tanh")], []),
    ("relu as a clamp", lambda n, x: torch.clamp(n.fc(x), min=0), [("relu", "relu")], []),
    ("relu as a method that clamps", lambda n, x: n.fc(x).clamp_min_(0.0), [("relu", "relu")], []),
    ("relu6 as a clamp", lambda n, x: n.fc(x).clip(0, 6), [("relu6", "relu6")], []),
    ("relu of a residual sum", lambda n, x: (x + n.fc(x)).view(-1, 3).clamp(0), [("relu", "relu")], []),
    ("a variance", lambda n, x: ((x * x).mean(1) - x.mean(1) * x.mean(1)).clamp(0).sqrt(), [], []),
    ("indices", lambda n, x: n.fc(x)[(x[:, 0].long() - 1).clamp(min=0)], [], []),
    ("numbers kept in a range", lambda n, x: n.fc(x).clamp(min=1e-6).clamp(max=9).clamp(0, x.sum()), [], []),
    ("relu times something", lambda n, x: x * F.relu(n.fc(x)), [("relu", "relu")], []),
]


def gate_and_more(net, x):
    gate = torch.sigmoid(net.fc(x))
    return x * gate + (1 - gate)


def square(x):
    return x * x


def in_place_swish(x):
    return x.mul_(x.sigmoid())


def glu(x, function):
    a, b = x.chunk(2, dim=-1)
    return a * function(b)


def squeezed(net, x):
    return x * torch.sigmoid(net.fc(x))


@pytest.mark.parametrize(("function", "sites", "gates"), [case[1:] for case in GATES], ids=[case[0] for case in GATES])
def test_gates(function, sites, gates):
    result = found(function, fc=nn.Linear(3, 3))
    assert [(site.name, site.operator) for site in result] == sites
    assert [gate.operator for gate in result.gates] == gates


GELUS = {
    "BERT": (lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))), "gelu"),
    "Φ first": (lambda x: 0.5 * (1 + (x * 0.70710678).erf()) * x, "gelu"),
    "half last": (lambda x: 0.5 * (x * (1 + torch.erf(x / 2**0.5))), "gelu"),
    "GPT-2": (
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))), "gelu_tanh",
    ),
    "powers": (lambda x: x * (0.5 * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3)))), "gelu_tanh"),
    "fast": (lambda x: 0.5 * x * (1 + torch.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))), "gelu_tanh"),
}  # fmt: skip


@pytest.mark.parametrize("spelling", GELUS)
def test_gelu_written_out(spelling):
    function, operator = GELUS[spelling]
    net = Net(lambda net, x: net.fc(function(net.fc(x) + x)), fc=nn.Linear(3, 3))
    sites, x = find_sites(net, (3,)), 2 * torch.randn(20, 3)
    assert [(site.name, site.operator) for site in sites] == [(operator, operator)]
    own = [apply_assignment(net, sites.original, sites=sites, learn=learn)(x) for learn in (False, True)]
    assert torch.equal(own[0], net(x))
    torch.testing.assert_close(own[1], net(x))
    other = apply_assignment(net, ["softsign"], sites=sites)
    torch.testing.assert_close(other(x), net.fc(F.softsign(net.fc(x) + x)))
    assert len([node for node in other.graph.nodes if node.op.startswith("call")]) == 4  # nothing of it is left


@pytest.mark.parametrize(
    "tail", [nn.Unflatten(1, (3, 1, 1)), nn.Sequential(nn.Identity(), nn.Dropout(), nn.Unflatten(1, (3, 1, 1)))]
)
def test_gates_through_modules(tail):
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3), nn.Sigmoid(), tail)
    result = found(lambda net, x: x * net.gate(x), (3, 4, 4), gate=gate)
    assert (result.original, [gate.operator for gate in result.gates]) == ((), ["sigmoid"])


def test_a_layer_behind_a_sigmoid_makes_it_no_gate():
    result = found(lambda net, x: x * net.fc(torch.sigmoid(net.fc(x))), fc=nn.Linear(3, 3))
    assert (result.original, result.gates) == (("sigmoid",), ())


def test_a_submodule_called_view_is_no_view():
    result = found(lambda net, x: x * net.view(torch.sigmoid(x)), view=nn.Linear(3, 3))
    assert result.original == ("sigmoid",)
    assert result.gates == ()


def test_shapes_and_channel_dimensions():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(2), nn.Linear(9, 5), nn.ReLU(),
        nn.LayerNorm(5), nn.ReLU(),
    )  # fmt: skip
    sites = list(find_sites(model, (1, 5, 5)))
    assert [site.shape for site in sites] == [(4, 3, 3), (4, 3, 3), (4, 5), (4, 5)]
    assert [site.channel_dim for site in sites] == [1, 1, -1, -1]
    assert [site.channels for site in sites] == [4, 4, 5, 5]
    assert [site.shape for site in find_sites(model)] == [None] * 4
    assert find_sites(model).sites[0].channels is None


class LayerNorm2d(nn.LayerNorm):
    """Normalises the channels of images, as ConvNeXt does."""

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


@pytest.mark.parametrize("traced", ["fx", "leaves"])
@pytest.mark.parametrize("norm", [nn.LayerNorm([4, 3, 3]), LayerNorm2d(4)])
def test_layer_norms_of_images_leave_the_channels_where_they_are(norm, traced):
    def forward(net, x):
        return net.act(net.norm(net.conv(x if traced == "fx" else x[: len(x)])))

    sites = found(forward, (1, 5, 5), conv=nn.Conv2d(1, 4, 3), norm=norm, act=nn.ReLU())
    assert (sites.traced, [site.channel_dim for site in sites]) == (traced, [1])


def test_a_site_of_one_number_for_each_example_has_no_channels():
    (site,) = found(lambda net, x: torch.sigmoid(net.fc(x).sum(1)), (4,), fc=nn.Linear(4, 4))
    assert (site.shape, site.channels) == ((), None)


def test_names_are_those_of_nested_modules():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Sequential(nn.Tanh())))
    assert find_sites(model).names == ("0.1", "1.0.0")


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Branches(), "its forward pass branches on the values or sizes of tensors"),
        (Net(lambda net, x: torch.ones(x.shape[0], 1) * x), "its forward pass does not take stand-ins for tensors"),
    ],
)
def test_why_a_network_cannot_be_traced(model, reason):
    sites = find_sites(model, (3,))
    assert sites.traced == "leaves"
    assert sites.parts.kept[""].startswith(reason)


def test_wrong_input_shape_is_one_line_and_prints_nothing():
    with contextlib.redirect_stderr(io.StringIO()) as errors, pytest.raises(SafsError) as caught:
        find_sites(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (5,))
    assert str(caught.value).startswith("Sequential does not take input of shape (5,): ")
    assert "cannot be multiplied (2x5 and 4x4)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert errors.getvalue() == ""


class Touchy(nn.Module):
    """Notices whatever tracing may do to a network."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.frozen = nn.BatchNorm1d(3).eval()
        self.bn = nn.BatchNorm1d(3)

    def forward(self, x):
        x = self.bn(self.frozen(self.fc(x))) * torch.tensor([1.0, 2.0, 3.0])
        return F.dropout(torch.relu(x), training=self.training)


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_not_changed(training):
    model = Touchy()
    model.training = training
    calls = []
    model.fc.register_forward_hook(lambda *_: calls.append(1))
    modes = [module.training for module in model.modules()]
    attributes = [set(vars(module)) for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    generator = torch.get_rng_state()
    find_sites(model, (3,))
    assert [module.training for module in model.modules()] == modes
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert len(model.fc._forward_hooks) == 1


def test_modes_are_left_even_where_tracing_fails():
    model = nn.Sequential(Branches(), nn.BatchNorm1d(3).eval())
    find_sites(model, (3,))
    assert [module.training for module in model.modules()] == [True, True, True, False]


def test_sites_travel_without_the_network():
    model = nn.Sequential(nn.Linear(300, 300), nn.ReLU())
    sites = find_sites(model, (300,))
    sent = pickle.dumps(sites)
    assert len(sent) < 20_000
    assert pickle.loads(sent) == sites
