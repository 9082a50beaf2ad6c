import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from safs.config.schema import Config
from safs.data.dataset import Data
from safs.export import load_best, load_exported, write_best
from safs.exporting import FORMATS, export_run
from safs.exporting.base import ReadBack, Source
from safs.exporting.checks import check_folding, check_loads, check_weights, compare
from safs.exporting.onnx_format import OPSET
from safs.exporting.own_class import OwnClass, making
from safs.folding import fold
from safs.masks import violations
from safs.models.registry import make_model
from safs.plain import make_plain
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment
from spaces.errors import SafsError, UnknownNameError
from spaces.operators import OPERATORS

ROOT = Path(__file__).parents[2]
OUT = {"safetensors": "net.safetensors", "torch-export": "net.pt2", "onnx": "net.onnx"}

NETWORKS = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune


class Residual(nn.Module):
    '''Batch norms, a sum, and a buffer of its own.'''

    def __init__(self, width=6, classes=10):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, width, 1, bias=False)
        self.fc = nn.Linear(4 * width, classes)
        self.register_buffer("shift", torch.ones(()))

    def forward(self, x):
        y = torch.relu(self.b(self.a(x)))
        y = torch.tanh(self.c(y) + y)
        return self.fc(F.adaptive_avg_pool2d(F.max_pool2d(y, 2), 2).flatten(1)) + self.shift


class Branches(nn.Module):
    '''One activation site for each of `count` branches, side by side in the output.'''

    def __init__(self, count):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(784, 4) for _ in range(count))

    def forward(self, x):
        return torch.cat([torch.relu(layer(x.flatten(1))) for layer in self.layers], 1)


class Gated(Residual):
    '''One of its activations multiplies another tensor in place, which is then read by its old name.'''

    def forward(self, x):
        y = self.b(self.a(x))
        y.mul_(torch.tanh(self.c(y)))
        return self.fc(F.adaptive_avg_pool2d(y, 2).flatten(1))


class Tied(Residual):
    '''Two layers with one weight, and one layer that is not called.'''

    def __init__(self):
        super().__init__(4)
        self.twin, self.aside = nn.Conv2d(4, 4, 1, bias=False), nn.Linear(5, 7)
        self.twin.weight = self.c.weight

    def forward(self, x):
        y = torch.relu(self.b(self.a(x)))
        return self.fc(F.adaptive_avg_pool2d(torch.relu(self.twin(self.c(y))), 2).flatten(1))


def computed():
    network = Residual(4)
    nn.utils.parametrizations.weight_norm(network.a)
    nn.utils.spectral_norm(network.c)
    prune.random_unstructured(network.fc, "weight", 0.5)
    return network


def parallel(compiled=False):
    network = nn.DataParallel(Residual(4))
    return torch.compile(network, backend="eager") if compiled else network
"""


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """The folder with the user's own module `own_networks`, as the current one."""
    (tmp_path / "own_networks.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    yield tmp_path
    sys.modules.pop("own_networks", None)


@pytest.fixture
def make_run(tmp_path, make_problem, tiny_values):
    """Makes the run directory of a study that found these choices for a network, and returns it with the problem."""

    def make(name="lenet5", kwargs=None, choices=None, folder="run", shape=(1, 28, 28)):
        kwargs = kwargs or {}
        data = Data(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.int64), 10)
        problem = make_problem(make_plain(make_model(name, kwargs, seed=0)), data)
        choices = choices or [("srs", "relu", "tanh", "relu")[index % 4] for index in range(len(problem.sites))]
        for module in problem.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=torch.Generator().manual_seed(0))
        chosen = [
            choice if isinstance(choice, SiteChoice) else SiteChoice(choice, 0.5 + index % 4, 2.0 - 0.4 * (index % 4))
            for index, choice in enumerate(choices)
        ]
        model = {"name": name, "kwargs": kwargs}
        run = tmp_path / folder
        run.mkdir()
        write_best(run / "best", problem, problem.model.state_dict(), chosen, model)
        config = Config.from_mapping(tiny_values(model=model))
        (run / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        return run, problem, chosen

    return make


def original(problem, choices):
    return apply_assignment(problem.model, choices, sites=problem.sites).eval()


def own_of(problem):
    return OwnClass("", "", copy.deepcopy(problem.model))


def run_snippet(snippet, folder, check):
    """Run an export's snippet, and a check behind it, in another process; return what it prints."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{snippet}\n{check}"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


CHECK = """
torch = __import__("torch")
x = torch.load("x.pt")
torch.save({"state": model.state_dict(), "own": type(model).__module__, "output": OUTPUT}, "seen.pt")
"""
OUTPUTS = {
    "safetensors": "network(x).detach()",
    "torch-export": "network(x).detach()",
    "onnx": "torch.tensor(__import__('onnxruntime').InferenceSession('net.onnx').run(None, {'input': x.numpy()})[0])",
}


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_network_of_ones_own_class(format_name, networks, make_run):
    run, problem, choices = make_run("own_networks:Residual", {"width": 8}, ["srs", SiteChoice("elu", -0.5, 2.0)])
    out = networks / OUT[format_name]
    exported = export_run(run, format_name, Path(out.name))
    assert exported.size == out.stat().st_size
    assert exported.difference.largest <= 1e-4 * exported.difference.scale
    assert exported.masked == len(problem.mask) == 3
    assert {(one.site, one.factor) for one in exported.folded.unfolded} == {
        ("relu", "alpha"), ("tanh", "beta"), ("tanh", "alpha")
    }  # fmt: skip

    x = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    torch.save(x, networks / "x.pt")
    assert exported.snippet.count("\n") == 2
    run_snippet(exported.snippet, networks, CHECK.replace("OUTPUT", OUTPUTS[format_name]))
    seen = torch.load(networks / "seen.pt")
    network = original(problem, choices)
    with torch.no_grad():
        torch.testing.assert_close(seen["output"], network(x), rtol=1e-4, atol=1e-4)
    folded = fold(network, (1, 28, 28)).network.state_dict()
    assert seen["own"] == "own_networks"
    assert list(seen["state"]) == list(problem.model.state_dict())
    assert all(torch.equal(tensor, folded[name]) for name, tensor in seen["state"].items())
    assert violations(seen["state"], problem.mask) == []


OWN = {
    "weights computed from others": ("own_networks:computed", {}, (1, 28, 28), "make_plain(computed())"),
    "data-parallel": ("own_networks:parallel", {}, (1, 28, 28), "unwrap(parallel())"),
    "compiled": (
        "own_networks:parallel", {"compiled": True}, (1, 28, 28), "unwrap(parallel(**{'compiled': True}))"
    ),
    "tied and unread weights": ("own_networks:Tied", {}, (1, 28, 28), "Tied()"),
    "torchvision": (
        "torchvision/squeezenet1_1", {"num_classes": 10}, (3, 64, 64),
        "torchvision.models.get_model('squeezenet1_1', **{'num_classes': 10})",
    ),
    "timm": (
        "timm/test_resnet", {"num_classes": 10, "in_chans": 1}, (1, 28, 28),
        "timm.create_model('test_resnet', **{'num_classes': 10, 'in_chans': 1})",
    ),
}  # fmt: skip
"""Networks that `make_model` changes, or that have weights that no output needs; and the Python that makes them."""


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("case", OWN)
def test_the_printed_snippet_loads_what_was_exported(case, format_name, networks, make_run):
    name, kwargs, shape, expression = OWN[case]
    if case == "timm":
        pytest.importorskip("timm")
    run, problem, choices = make_run(name, kwargs, shape=shape)
    out = networks / OUT[format_name]
    exported = export_run(run, format_name, out)
    assert f"model = {expression};" in exported.snippet
    seen = {}
    exec(exported.snippet, seen)

    state = exported.folded.network.state_dict()
    assert type(seen["model"]) is type(problem.model)
    assert list(seen["model"].state_dict()) == list(problem.model.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in seen["model"].state_dict().items())
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = original(problem, choices)(x)
        got = run_onnx(out, x) if format_name == "onnx" else seen["network"](x)
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_state_dict_that_needs_its_version_is_loaded_with_it(make_run, tmp_path):
    run, problem, _ = make_run("torchvision/mnasnet0_5", {"num_classes": 10}, shape=(3, 32, 32))
    exported = export_run(run, "safetensors", tmp_path / "net")
    seen = {}
    exec(exported.snippet, seen)
    state = exported.folded.network.state_dict()
    assert list(seen["model"].state_dict()) == list(problem.model.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in seen["model"].state_dict().items())


def run_onnx(path, x):
    import onnxruntime

    return torch.tensor(onnxruntime.InferenceSession(path).run(None, {"input": x.numpy()})[0])


@pytest.mark.parametrize("alpha", [0.5, 1.0005])
def test_a_factor_that_multiplies_in_place_is_listed(alpha, networks, make_run):
    run, _, _ = make_run("own_networks:Gated", {}, [SiteChoice("tanh", alpha)])
    exported = export_run(run, "safetensors", networks / "net.safetensors")
    assert [(one.site, one.factor) for one in exported.folded.unfolded] == [("tanh", "alpha")]
    assert exported.difference.within(1e-6)


def test_a_checkpoint_of_timm_is_not_opened_by_a_name_in_a_file(make_run, tmp_path):
    pytest.importorskip("timm")
    run, _, _ = make_run()
    path = run / "best" / "activations.json"
    content = json.loads(path.read_text())
    content["model"] = {"name": "timm/test_resnet", "kwargs": {"checkpoint_path": str(tmp_path / "x.pth")}}
    path.write_text(json.dumps(content))
    with pytest.raises(SafsError, match=r"^timm/test_resnet .* so it takes no checkpoint_path;"):
        load_best(run / "best")


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("folding", [True, False])
def test_factors_are_folded_or_kept(folding, format_name, make_run, tmp_path):
    run, problem, choices = make_run(choices=["relu", SiteChoice("srs", [0.5] * 15 + [2.0], 1.5), "tanh", "prelu"])
    out = tmp_path / OUT[format_name]
    exported = export_run(run, format_name, out, folding=folding)
    assert (exported.folded is not None) == folding
    if folding:
        assert (exported.folded.factors, exported.folded.unfolded) == (8, ())
    network = exported.folded.network if folding else original(problem, choices)
    assert bool([name for name in network.state_dict() if name.endswith(("alpha", "beta"))]) != folding
    before = out.read_bytes()
    with pytest.raises(SafsError, match="exists already"):
        export_run(run, format_name, out)
    assert out.read_bytes() == before


def test_every_operator_in_every_format(networks, make_run):
    """Each has outputs of its own, which are compared with its own scale."""
    names = list(OPERATORS)
    run, problem, choices = make_run("own_networks:Branches", {"count": len(names)}, [
        SiteChoice(name, 0.5, [1.5, -0.5, 1.0, 2.0]) if index % 2 else SiteChoice(name, 1.25, 0.75)
        for index, name in enumerate(names)
    ])  # fmt: skip
    network = original(problem, choices)
    x = torch.randn(7, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = network(x)
    for format_name, form in FORMATS.items():
        for folding in (True, False):
            out = networks / f"{folding}-{OUT[format_name]}"
            exported = export_run(run, format_name, out, folding=folding)
            chosen = exported.folded.network if folding else network
            best = type("Best", (), {"model": problem.model})
            read = form().read_back(out, Source(best, chosen, "own_networks:Branches", {}, own_of(problem)))
            with torch.no_grad():
                got = read.run(x)
            for index, name in enumerate(names):
                one, two = (y[:, 4 * index : 4 * index + 4] for y in (expected, got))
                assert (one - two).abs().max() <= 1e-5 * one.abs().max(), (format_name, name)


def test_the_onnx_file_is_one_graph_of_the_documented_opset(make_run, tmp_path):
    import onnx

    run, _, _ = make_run(choices=["gelu", "mish", "tanh", "swish"])
    export_run(run, "onnx", tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")] == [("", OPSET)]
    assert "Gelu" in {node.op_type for node in model.graph.node}
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert isinstance(dims[0], str)
    assert dims[1:] == [1, 28, 28]


def test_a_safetensors_file_is_enough_by_itself(make_run, tmp_path):
    run, problem, choices = make_run()
    out = tmp_path / "net.safetensors"
    export_run(run, "safetensors", out)
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(load_exported(out)(x), original(problem, choices)(x), rtol=1e-4, atol=1e-5)
    own = make_model("lenet5", seed=5)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(load_exported(str(out), own)(x), load_exported(out)(x))
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())
    assert not [name for name in load_file(out) if name.startswith(ACTIVATIONS)]


def test_an_exported_file_of_a_factory_is_not_imported_by_name(networks, make_run):
    run, _, _ = make_run("own_networks:Residual", {}, ["srs", "elu"])
    export_run(run, "safetensors", networks / "net.safetensors")
    with pytest.raises(SafsError, match=r"pass an instance of it: load_exported\(path, model\)"):
        load_exported(networks / "net.safetensors")


def test_files_that_safs_did_not_export(tmp_path, make_run):
    run, _, _ = make_run()
    with pytest.raises(SafsError, match="does not say what stands at the activation sites"):
        load_exported(run / "best" / "model.safetensors")
    with pytest.raises(SafsError, match=r"There is no .*; give a file that safs export wrote"):
        load_exported(tmp_path / "none")
    (tmp_path / "cut").write_bytes((run / "best" / "model.safetensors").read_bytes()[:100])
    with pytest.raises(SafsError, match="is damaged"):
        load_exported(tmp_path / "cut")


@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        ("lenet5", {}, "make_model('lenet5', seed=0)"),
        ("lenet5", {"num_classes": 7}, "make_model('lenet5', {'num_classes': 7}, seed=0)"),
        ("torchvision/squeezenet1_1", {}, "torchvision.models.get_model('squeezenet1_1')"),
        ("safs.models.lenet:LeNet5", {}, "LeNet5()"),
    ],
)
def test_the_python_that_makes_a_network(name, kwargs, expected):
    statement, expression = making(name, kwargs)
    assert expression == expected
    values = {}
    exec(f"{statement}\nmodel = {expression}", values)
    known = make_model(name, kwargs, seed=0)
    assert type(values["model"]) is type(known)
    assert list(values["model"].state_dict()) == list(known.state_dict())


def test_a_file_that_computes_something_else_is_refused():
    network = nn.Linear(4, 3)
    with torch.no_grad():
        assert compare(network, ReadBack(network, {}), (4,)).largest == 0.0
        for wrong in (lambda x: network(x) * 1.01, lambda x: network(x) * torch.nan):
            with pytest.raises(SafsError, match="computes something else"):
                compare(network, ReadBack(wrong, {}), (4,))
        with pytest.raises(SafsError, match=r"outputs of shape \(1, 2\) where the network returns \(1, 3\)"):
            compare(network, ReadBack(lambda x: network(x)[:, :2], {}), (4,))

    def only_one(x):
        if len(x) > 1:
            raise RuntimeError("batch is fixed")
        return network(x)

    with pytest.raises(SafsError, match=r"does not run on a batch of 3 \(batch is fixed\)"):
        compare(network, ReadBack(only_one, {}), (4,))


def test_outputs_that_are_not_finite_are_compared_where_they_are():
    network = nn.Linear(4, 3)
    infinite = torch.tensor([torch.inf, -torch.inf, 0.0])
    endless = type("Endless", (nn.Linear,), {"forward": lambda self, x: network(x) + infinite})(4, 3)
    assert compare(endless, ReadBack(endless, {}), (4,)).largest == 0.0
    with pytest.raises(SafsError, match="computes something else"):
        compare(endless, ReadBack(network, {}), (4,))


def test_what_a_network_does_to_its_input_is_no_difference():
    network = type("InPlace", (nn.Linear,), {"forward": lambda self, x: nn.Linear.forward(self, x.mul_(3))})(4, 3)
    assert compare(network, ReadBack(network, {}), (4,)).largest == 0.0
    check_folding(network, network, (4,))


@pytest.mark.parametrize("own_precision", [False, True])
def test_folding_is_compared_in_double_precision_where_the_network_computes_in_it(own_precision):
    def forward(self, x):
        return F.linear(x.float() if own_precision else x, self.weight)

    network = type("One", (nn.Linear,), {"forward": forward})(4, 3)
    check_folding(network, copy.deepcopy(network), (4,))
    changed = copy.deepcopy(network)
    with torch.no_grad():
        changed.weight.mul_(1.0005)
    assert compare(network, ReadBack(changed, {}), (4,)).within(1e-3)
    if own_precision:
        check_folding(network, changed, (4,))
    else:
        with pytest.raises(SafsError, match=r"Folding changes what the network computes: .* Export it with --no-fold"):
            check_folding(network, changed, (4,))


def test_weights_that_are_not_the_networks_are_refused(make_problem):
    problem = make_problem()
    state = problem.model.state_dict()
    best = type("Best", (), {"mask": problem.mask})
    source = Source(best, problem.model, "lenet5", {}, own_of(problem))
    check_weights(source, ReadBack(problem.model, state))
    name = next(iter(problem.mask))
    for lost in (name, next(name for name in state if name.endswith("bias"))):
        with pytest.raises(SafsError, match=f"lost the weight '{lost}'"):
            check_weights(source, ReadBack(problem.model, {n: t for n, t in state.items() if n != lost}))
    with pytest.raises(SafsError, match=f"other values of '{name}'"):
        check_weights(source, ReadBack(problem.model, state | {name: state[name] + 1e-3}))
    with torch.no_grad():
        problem.model.state_dict()[name].add_(1.0)
    with pytest.raises(SafsError, match=f"masked weights of '{name}' that are not zero"):
        check_weights(source, ReadBack(problem.model, problem.model.state_dict()))


def test_weights_that_ones_own_class_does_not_take_are_refused(make_problem):
    problem = make_problem()
    other = make_model("lenet5", {"num_classes": 7}, seed=0)
    for own, fits in ((own_of(problem), True), (OwnClass("", "", other), False)):
        source = Source(type("Best", (), {"mask": {}}), problem.model, "lenet5", {}, own)
        if fits:
            check_loads(source, ReadBack(problem.model, problem.model.state_dict()))
            continue
        with pytest.raises(SafsError, match=r"does not load into lenet5.*size mismatch") as raised:
            check_loads(source, ReadBack(problem.model, problem.model.state_dict()))
        assert "\n" not in str(raised.value)


def test_an_unknown_format_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'safetensors'"):
        export_run(tmp_path, "safetensor", tmp_path / "x")
