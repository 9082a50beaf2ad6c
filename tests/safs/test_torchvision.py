"""Surgery on all 80 classification networks of torchvision, about the smallest input that each takes.

All but one of each kind of block bear the marker `thorough`: `make test` leaves them out, `make test-thorough` runs
them. So does what takes long, to compile them: four are compiled in `make test`, with their gradients. The networks of
more than 80 million parameters bear the marker `large`. Of five of them (`OVER_150_MILLION`) the sites, names and
shapes are looked at on the meta device, and the numbers on a network of the same class and depth with narrower layers.
"""

import copy
import gc
import pickle
import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from safs.data.dataset import Data
from safs.masks import prunable_weights, sparsity, violations
from safs.protocol import Protocol
from safs.sites import Sites, find_sites
from safs.surgery import ACTIVATIONS, apply_assignment, replace_sites
from safs.training import train
from spaces.activation import Activation
from spaces.operators import PAPER_OPERATORS, get_operator
from tests.safs.activation_calls import activation_calls
from tests.safs.torchvision_networks import (
    CLASSES,
    EXAMPLES,
    LARGE,
    NAMES,
    SISTERS,
    build,
    build_for_numbers,
    input_shape,
    settle_norms,
)

DIFFERENTIATED = [
    ("resnet18", "aot_eager", True),
    ("shufflenet_v2_x0_5", "aot_eager", True),
    ("vit_b_32", "aot_eager", True),
    ("mobilenet_v3_small", "aot_eager", False),
    pytest.param("alexnet", "inductor", False, marks=pytest.mark.thorough),
]
"""Network, backend of `torch.compile`, and whether in training: not where dropout would draw other numbers.

Inductor compiles each operator to C++, which takes half a minute even of a network with seven sites.
"""


@dataclass
class Case:
    """One network, made once: no test may change it.

    Attributes:
        whole: the network as torchvision builds it, on the meta device where it is too large.
        model: what stands for it where numbers are looked at, most often itself.
        sites: the sites of `model`.
        x: a batch of examples.
        assignment: operators of the paper, drawn at random.
    """

    name: str
    whole: nn.Module
    model: nn.Module
    sites: Sites
    x: Tensor
    assignment: list[str]

    def mixed(self, *, learn: bool = True) -> nn.Module:
        """Return the network with the drawn operators, settled on the examples and in evaluation."""
        network = apply_assignment(self.model, self.assignment, sites=self.sites, learn=learn)
        settle_norms(network, self.x)
        return network


def drawn(name, model, sites):
    """Return operators of the paper, the same at each run. Where nothing normalises, symexp soon overflows."""
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
    normalised = any(isinstance(module, norms) for module in model.modules())
    return random.Random(name).choices([o for o in PAPER_OPERATORS if normalised or o != "symexp"], k=sites)


def marks(name):
    return [
        *([pytest.mark.large] if name in LARGE else []),
        *([pytest.mark.thorough] if name not in SISTERS else []),
    ]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=marks(name)) for name in NAMES])
def case(request):
    name, shape = request.param, input_shape(request.param)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        whole = build(name).eval()
        x = torch.randn(EXAMPLES, *shape)
        model = build_for_numbers(name, whole, x).eval()
    sites = find_sites(model, shape)
    yield Case(name, whole, model, sites, x, drawn(name, model, len(sites)))
    gc.collect()  # a graph and its nodes hold each other, and with them the weights


@dataclass
class Step:
    """What one step computes: the output, every gradient (the input's is called "x"), and the buffers after it."""

    output: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def step(network, x, *, training, forward=None):
    """Run a network (by `forward`, if given) there and back, dropout always seeded alike, and leave it as it was."""
    modes = [(module, module.training) for module in network.modules()]
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    x = x.clone().requires_grad_()
    network.train(training)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        output = (network if forward is None else forward)(x)
    output.square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None} | {"x": x.grad}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.zero_grad()
    for name, buffer in network.named_buffers():
        buffer.copy_(before[name])
    for module, mode in modes:
        module.training = mode
    return Step(output.detach(), gradients, buffers)


def own(tensors):
    """Return the tensors that are not those of the new activations."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{ACTIVATIONS}.")}


def run(network, x):
    """Return a network's output in evaluation."""
    with torch.no_grad():
        return network.eval()(x)


def assert_equal(found, expected):
    """Compare tensors by name, bit by bit; the NaN that symexp gives where it overflows is equal to itself."""
    assert list(found) == list(expected)
    unequal = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    for name in unequal:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0, equal_nan=True)


def assert_close(found, expected, tolerance):
    """Compare to within a share of the largest value: below it, small values differ by the rounding of large ones."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


def test_there_are_80():
    assert len(NAMES) == 80
    assert set(LARGE) <= set(NAMES)


def test_sites_are_the_calls_counted_at_run_time(case):
    whole, shape = case.whole, input_shape(case.name)
    sites = find_sites(whole, shape)
    blank = torch.zeros(EXAMPLES, *shape, device=next(whole.parameters()).device)
    called, gating = activation_calls(whole, blank)
    assert sites.traced == "fx"
    assert [(site.name, site.operator, site.shape) for site in sites] == [(c.name, c.operator, c.shape) for c in called]
    assert [(gate.name, gate.operator) for gate in sites.gates] == [(call.name, call.operator) for call in gating]
    assert sites.names == case.sites.names != ()


def test_names_shapes_and_order_of_the_state_dict_stay(case):
    whole = case.whole
    network = apply_assignment(whole, case.assignment, learn=True)
    for before, after in (
        (whole.state_dict(), network.state_dict()),
        (dict(whole.named_parameters()), dict(network.named_parameters())),
        (dict(whole.named_buffers()), dict(network.named_buffers())),
    ):
        described = {name: (tensor.shape, tensor.dtype, tensor.requires_grad) for name, tensor in before.items()}
        assert list(own(after)) == list(before)
        assert {name: (t.shape, t.dtype, t.requires_grad) for name, t in own(after).items()} == described
    assert any(name.startswith(f"{ACTIVATIONS}.") for name in network.state_dict())


def test_the_state_dict_loads_both_ways(case):
    network, other = case.mixed(learn=False), copy.deepcopy(case.model)
    for source, target in ((other, network), (network, other)):
        with torch.no_grad():
            for tensor in source.state_dict().values():
                tensor.add_(1)
        target.load_state_dict(source.state_dict())
        assert_equal(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("replaced", [False, True], ids=["kept", "replaced"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_original_operators_put_back_are_bit_equal(case, replaced, training):
    if replaced:  # by our own modules, where the surgery would leave the network's call
        put_back = {site.node: Activation(get_operator(site.operator), constants=site.constants) for site in case.sites}
        network = replace_sites(case.model, case.sites, put_back)
    else:
        network = apply_assignment(case.model, case.sites.original, sites=case.sites)
    assert sum(isinstance(module, Activation) for module in network.modules()) == (len(case.sites) if replaced else 0)
    expected = step(case.model, case.x, training=training)
    assert expected.output.isfinite().all()
    assert expected.gradients["x"].any()
    assert (expected.output[0] != expected.output[1]).any()
    found = step(network, case.x, training=training)
    assert torch.equal(found.output, expected.output)
    assert_equal(found.gradients, expected.gradients)
    assert_equal(found.buffers, expected.buffers)


def test_factors_of_one_that_are_learned_change_nothing_but_rounding(case):
    expected = step(case.model, case.x, training=False)
    network = apply_assignment(case.model, case.sites.original, sites=case.sites, learn=True)
    found = step(network, case.x, training=False)
    gradients = own(found.gradients)
    assert_close(found.output, expected.output, 1e-5)
    assert list(gradients) == list(expected.gradients)
    for name, gradient in expected.gradients.items():
        assert_close(gradients[name], gradient, 1e-4)
    for index, _ in enumerate(case.sites):
        assert {f"{ACTIVATIONS}.site{index}.{factor}" for factor in ("alpha", "beta")} <= set(found.gradients)


def test_a_mixed_assignment_trains_a_step_and_masks_hold(case):
    network = case.mixed()
    draw = torch.Generator().manual_seed(0)
    mask = {
        name: torch.zeros(weight.shape, dtype=torch.bool).bernoulli_(0.1, generator=draw)
        for name, weight in prunable_weights(network).items()
    }
    assert sparsity(mask) == pytest.approx(0.9, abs=0.01)
    before = {name: float(weight.detach().sum(dtype=torch.float64)) for name, weight in network.named_parameters()}
    data = Data(case.x, torch.arange(EXAMPLES), CLASSES)
    protocol = Protocol(epochs=1, batch_size=EXAMPLES, optimizer="sgd", lr=0.01, schedule="constant")
    (loss,) = train(network, mask, data, torch.arange(EXAMPLES), protocol, seed=0)
    assert 0 < loss < float("inf")
    assert violations(network.state_dict(), mask) == []
    assert any(float(w.detach().sum(dtype=torch.float64)) != before[name] for name, w in network.named_parameters())
    factors = [p for name, p in network.named_parameters() if name.endswith((".alpha", ".beta"))]
    assert len(factors) == 2 * len(case.sites)
    assert all(factor.grad.isfinite() for factor in factors)
    assert any(factor.grad for factor in factors)


def pickled(network):
    return pickle.loads(pickle.dumps(network))


@pytest.mark.parametrize("how", [copy.deepcopy, pickled])
def test_copies_are_equal(case, how):
    network = case.mixed()
    other = how(network)
    assert not any(module.training for module in other.modules())
    assert_equal(other.state_dict(), network.state_dict())
    assert_equal({"output": run(other, case.x)}, {"output": run(network, case.x)})
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert not torch.equal(next(other.parameters()), next(network.parameters()))


class Eager:
    """A backend of `torch.compile` that runs what it is given as it is, and counts it."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.fixture
def compiled():
    """Returns a compiled network; what torch keeps of it is forgotten after the test."""
    torch.compiler.reset()
    yield lambda network, backend: torch.compile(network, fullgraph=False, backend=backend)
    torch.compiler.reset()


@pytest.fixture
def without_fused_attention():
    """`torch.compile` never takes the attention kernel fused for inference, whose rounding is another on some CPUs."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.thorough
def test_compiled_networks_are_equal(case, compiled, without_fused_attention):
    network, backend = case.mixed(), Eager()
    assert_equal({"output": run(compiled(network, backend), case.x)}, {"output": run(network, case.x)})
    assert backend.graphs == 1


@pytest.mark.parametrize(("case", "backend", "training"), DIFFERENTIATED, indirect=["case"])
def test_compiled_networks_have_the_same_gradients(case, backend, training, compiled):
    network = case.mixed()
    expected = step(network, case.x, training=training)
    found = step(network, case.x, training=training, forward=compiled(network, backend))
    assert_close(found.output, expected.output, 1e-4)
    assert list(found.gradients) == list(expected.gradients)
    for name, gradient in expected.gradients.items():
        assert_close(found.gradients[name], gradient, 1e-3)
