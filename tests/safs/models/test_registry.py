import importlib
import sys
from inspect import signature

import pytest
import torch
from torch import nn

from safs.models.registry import MODELS, make_model, usual_input_shape
from safs.models.timm_models import WEIGHT_ARGUMENTS
from spaces.errors import SafsError


def values(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a user's module, as the current directory of a console script."""
    source = """
        from torch import nn
        import torch
        def build(width=3): return nn.Linear(width, 2)
        def named(name, seed, kwargs): return nn.Linear(len(name) + seed, kwargs)
        def fails(): raise RuntimeError("first line\\nsecond line")
        def number(): return 7
        def leaves(): raise SystemExit(0)
        def parallel(): return nn.DataParallel(nn.Linear(3, 2))
        def compiled(): return torch.compile(nn.DataParallel(nn.Linear(3, 2)), backend="eager")
        constant = 7
    """
    (tmp_path / "user_network.py").write_text("\n".join(line.strip() for line in source.splitlines()))
    (tmp_path / "user_broken.py").write_text("import no_such_package")
    (tmp_path / "user_script.py").write_text("import sys\ndef build(): ...\nsys.exit(build())")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("user_network", None)


@pytest.mark.parametrize("name", [*MODELS, "torchvision/squeezenet1_1"])
def test_the_seed_alone_draws_the_weights(name):
    torch.manual_seed(1)
    first = values(make_model(name, seed=5))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, values(make_model(name, seed=5)))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, values(make_model(name, seed=6)))


def test_torchvision_takes_arguments():
    model = make_model("torchvision/squeezenet1_1", {"num_classes": 3}, seed=0)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_a_module_in_the_current_directory(project):
    model = make_model("user_network:build", {"width": 4}, seed=0)
    assert isinstance(model, nn.Linear)
    assert model.in_features == 4
    assert sys.path[-1] == str(project)
    make_model("user_network:build", seed=0)
    assert sys.path.count(str(project)) == 1


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["parallel", "compiled"])
def test_a_network_is_taken_out_of_what_wraps_it(name):
    assert type(make_model(f"user_network:{name}", seed=0)) is nn.Linear


def test_timm():
    pytest.importorskip("timm")
    model = make_model("timm/resnet10t.c3_in1k", {"num_classes": 3, "in_chans": 1}, seed=0)
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 3)
    assert torch.equal(values(model), values(make_model("timm/resnet10t", {"num_classes": 3, "in_chans": 1}, seed=0)))
    assert usual_input_shape("timm/resnet10t", {"in_chans": 1}) == (1, 176, 176)
    assert usual_input_shape("timm/vit_tiny_patch16_224", {"img_size": 96}) == (3, 96, 96)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("timm/resnet10", {}, "Unknown timm model 'resnet10'. Did you mean 'resnet1.* timm.list_models\\(\\) lists"),
        ("timm/hf-hub:someone/something", {}, "Unknown timm model"),
        ("timm/resnet10t.no_such_tag", {}, "could not be built"),
        ("timm/resnet10t", {"model_name": "resnet18"}, "could not be built: TypeError.*model_name"),
        ("timm/resnet10t.c3_in1k", {"checkpoint_path": "x.pth"}, "^timm/resnet10t.c3_in1k is .* no checkpoint_path;"),
        ("timm/resnet10t", {"pretrained": False, "cache_dir": None}, "takes no cache_dir, pretrained;"),
    ],
)
def test_bad_names_of_timm_are_refused_in_one_line(name, kwargs, message):
    pytest.importorskip("timm")
    with pytest.raises(SafsError, match=message) as raised:
        make_model(name, kwargs, seed=0)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_timm_takes_no_argument_that_names_weights():
    factory, builder = (pytest.importorskip(f"timm.models._{module}") for module in ("factory", "builder"))
    taken = [name for one in (factory.create_model, builder.build_model_with_cfg) for name in signature(one).parameters]
    words = ("pretrained", "checkpoint", "cache", "path", "file")
    assert {name for name in taken if any(word in name for word in words)} <= WEIGHT_ARGUMENTS
    for name in WEIGHT_ARGUMENTS:
        with pytest.raises(SafsError, match=f"^timm/resnet10t is built without weights, so it takes no {name};"):
            make_model("timm/resnet10t", {name: "x.pth"}, seed=0)


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SafsError, match=r"^timm/NAME needs the package timm, .*safs\[timm\]"):
        make_model("timm/resnet10t", seed=0)


@pytest.mark.usefixtures("project")
def test_arguments_may_be_called_like_those_of_make_model():
    model = make_model("user_network:named", {"name": "abc", "seed": 4, "kwargs": 5}, seed=0)
    assert (model.in_features, model.out_features) == (7, 5)
    for name in ("lenet5", "torchvision/squeezenet1_1"):
        for argument in ("name", "seed", "weights", "pretrained"):
            with pytest.raises(SafsError, match=f"{name!r} could not be built: TypeError.*{argument}"):
                make_model(name, {argument: 1}, seed=0)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet", "Unknown model 'lenet'. Did you mean 'lenet5'.*package.module:factory.*torchvision/NAME"),
        ("resnet18", "Unknown model 'resnet18'. Did you mean 'torchvision/resnet18'.*Choices: .*lenet5, "),
        ("resnet", "Did you mean 'torchvision/resnet18'"),
        ("resnet20", "Did you mean 'resnet20-cifar'"),
        ("", "Unknown model ''. Choices"),
        ("torchvision/resnet19", "Unknown torchvision model 'resnet19'. Did you mean 'resnet1"),
        ("torchvision/", "Unknown torchvision model ''"),
        ("no_such_module:build", "cannot import 'no_such_module': ModuleNotFoundError"),
        ("user_broken:build", "ModuleNotFoundError: No module named 'no_such_package'"),
        (":build", "cannot import ''"),
        ("user_network:missing", "'missing' does not exist in .*user_network.py"),
        ("user_network:constant", "'constant' is not callable"),
        ("user_network:fails", "RuntimeError: first line$"),
        ("user_network:leaves", r"it called sys.exit\(0\); do that under `if __name__ == "),
        ("user_script:build", r"cannot import 'user_script': it called sys.exit\(None\)"),
        ("user_network:number", "must be an nn.Module, but its factory returned int"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, message):
    with pytest.raises(SafsError, match=message) as raised:
        make_model(name, seed=0)
    assert "\n" not in str(raised.value)


def test_an_argument_the_factory_does_not_take_is_refused():
    with pytest.raises(SafsError, match=r"'lenet5' could not be built: TypeError.*colour"):
        make_model("lenet5", {"colour": "red"}, seed=0)


def test_a_failed_build_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    with pytest.raises(SafsError):
        make_model("torchvision/resnet18", {"no_such": 1}, seed=3)
    assert torch.equal(state, torch.get_rng_state())
