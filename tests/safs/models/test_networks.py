import pytest
import torch
from torch import fx, nn

from safs.models.registry import MODELS, make_model

IMAGES = {"lenet5": (2, 1, 28, 28), "efficientnet-b0-small": (2, 3, 16, 16)}


def weights(model):
    return [m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def sites(model):
    calls = [node for node in fx.symbolic_trace(model).graph.nodes if node.op == "call_module"]
    return [node.target for node in calls if isinstance(model.get_submodule(node.target), nn.ReLU)]


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_gradients(name):
    model = make_model(name, {"num_classes": 7}, seed=0)
    logits = model(torch.randn(IMAGES.get(name, (2, 3, 32, 32)), generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 7)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_input_channels_can_be_chosen():
    for name in MODELS:
        shape = IMAGES.get(name, (2, 3, 32, 32))
        model = make_model(name, {"in_channels": 2, "num_classes": 10}, seed=0)
        assert model(torch.zeros(2, 2, *shape[2:])).shape == (2, 10)


def test_lenet5():
    model = make_model("lenet5", seed=0)
    assert weights(model) == [150, 2400, 30720, 10080, 840]
    assert sites(model) == ["relu1", "relu2", "relu3", "relu4"]
    names = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "fc2", "relu4", "fc3"]
    assert [name for name, _ in model.named_children()] == names


def test_vgg16_has_sixteen_layers_and_fifteen_sites():
    model = make_model("vgg16-cifar", seed=0)
    assert len(weights(model)) == 16
    assert len(sites(model)) == 15
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 13


def test_resnet18_calls_nine_modules_at_seventeen_sites():
    model = make_model("resnet18-cifar", seed=0)
    assert len(sites(model)) == 17
    assert sites(model)[:3] == ["relu", "layer1.0.relu", "layer1.0.relu"]
    assert len(set(sites(model))) == 9
    # Torchvision's ResNet-18 but for its 7×7 stem and its 1000 classes.
    torchvision = make_model("torchvision/resnet18", {"num_classes": 10}, seed=0)
    assert set(model.state_dict()) == set(torchvision.state_dict())
    assert sum(weights(torchvision)) - sum(weights(model)) == 64 * 3 * (49 - 9)


def test_resnet20_has_the_papers_size():
    model = make_model("resnet20-cifar", seed=0)
    assert len(weights(model)) == 20
    assert len(sites(model)) == 19
    assert sum(p.numel() for p in model.parameters()) == 269_722


def test_the_parameter_free_shortcut_subsamples_and_pads():
    block = make_model("resnet20-cifar", seed=0).layer2[0]
    x = torch.arange(16.0 * 16).reshape(1, 16, 4, 4)
    y = block.downsample(x)
    assert y.shape == (1, 32, 2, 2)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()
