import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from safs.connectivity import Connectivity, connectivity
from safs.describe import dense_flops, describe
from safs.masks import prunable_weights
from safs.models.lenet import LeNet5
from safs.pruning import prune
from safs.sites import find_sites
from spaces.errors import SafsError


def full(model):
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in prunable_weights(model).items()}


def only(shape, *kept):
    mask = torch.zeros(shape, dtype=torch.bool)
    for index in kept:
        mask[index] = True
    return mask


def paths(model, mask, shape):
    return connectivity(model, mask, find_sites(model, shape), shape)


def counts(result):
    return [layer.connected for layer in result.layers]


def mlp(*between):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), *between, nn.Linear(4, 3))


def test_everything_is_connected_without_a_mask_that_removes_anything():
    result = paths(mlp(), full(mlp()), (3,))
    assert counts(result) == [4, 3]
    assert (result.logits, result.connected_logits, result.ceiling) == (3, 3, 1.0)


def test_hand_made_paths():
    # Input 0 reaches hidden 1 and 2; hidden 1 reaches logit 0; hidden 3, without input, reaches logit 2.
    mask = {"0.weight": only((4, 3), (1, 0), (2, 0)), "2.weight": only((3, 4), (0, 1), (2, 3))}
    result = paths(mlp(), mask, (3,))
    assert counts(result) == [2, 1]
    assert [(layer.name, layer.outputs, layer.nonzero, layer.total) for layer in result.layers] == [
        ("0", 4, 2, 12), ("2", 3, 2, 12),
    ]  # fmt: skip
    assert (result.connected_logits, result.ceiling) == (1, pytest.approx(2 / 3))


def test_biases_are_no_paths():
    model = mlp(nn.Sigmoid())  # σ(0) = ½, so that every bias and sigmoid could leak through
    mask = full(model) | {"0.weight": only((4, 3))}
    result = paths(model, mask, (3,))
    assert counts(result) == [0, 0]
    assert result.ceiling == pytest.approx(1 / 3)


def test_negative_weights_are_paths_and_do_not_cancel():
    model = mlp()
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[2].weight.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0]] * 3))
    assert counts(paths(model, full(model), (3,))) == [4, 3]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False), nn.LayerNorm(4), nn.GroupNorm(2, 4)]
)
def test_normalisation_neither_cuts_nor_makes_paths(norm):
    model = mlp(norm)
    if isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None:
        norm.running_mean.fill_(1e6)
    second = {k: v for k, v in prunable_weights(model).items() if k != "0.weight"}
    (name,) = second
    mask = {"0.weight": only((4, 3), (1, 0)), name: only((3, 4), (0, 1), (1, 1), (2, 0))}
    result = paths(model, mask, (3,))
    assert counts(result) == [1, 2]
    assert counts(paths(model, full(model), (3,))) == [4, 3]


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.Softmax(1)])
def test_probabilities_at_the_end(last):
    model = nn.Sequential(mlp(), last)
    mask = {"0.0.weight": only((4, 3), (1, 0)), "0.2.weight": only((3, 4), (0, 1))}
    assert paths(model, mask, (3,)).connected_logits == 1


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        return F.log_softmax(self.fc2(F.elu(self.fc1(x)) - 0), dim=1)


def test_functions():
    mask = {"fc1.weight": only((4, 3), (1, 0)), "fc2.weight": only((3, 4), (0, 1), (1, 2))}
    result = paths(Functional(), mask, (3,))
    assert counts(result) == [1, 1]
    assert result.connected_logits == 1


@pytest.mark.parametrize("name", ["0.weight", "2.weight"])
def test_a_shared_weight_is_masked_by_any_of_its_names(name):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    assert paths(model, {name: only((3, 3), (1, 0), (2, 1))}, (3,)).connected_logits == 1


class Residual(nn.Module):
    def __init__(self, skip):
        super().__init__()
        self.skip = skip
        self.first, self.inner, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        y = self.inner(x)
        return self.head(self.relu(y + x if self.skip else y))


@pytest.mark.parametrize(("skip", "expected"), [(True, [3, 0, 2]), (False, [3, 0, 0])])
def test_a_residual_connection_goes_round_a_cut_layer(skip, expected):
    model = Residual(skip)
    mask = full(model) | {"inner.weight": only((3, 3))}
    result = paths(model, mask, (3,))
    assert counts(result) == expected
    described = describe("m", model, find_sites(model, (3,)), mask, (3,))
    assert described["warnings"][0] == "The mask prunes layer inner whole: the signal is cut there."
    assert any("Only 0 of 2 logits" in warning for warning in described["warnings"]) == (not skip)


def test_convolution_pooling_and_flatten():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * 2 * 2, 4),
    )  # fmt: skip
    mask = {
        "0.weight": only((3, 2, 3, 3), (0, 1, 2, 2), (2, 0, 1, 1)),  # channel 1 is cut
        "3.weight": only((2, 3, 1, 1), (0, 1, 0, 0), (1, 0, 0, 0)),  # channel 0 reads channel 1 only
        "6.weight": only((4, 8), (0, 0), (1, 3), (2, 4), (3, 6)),  # features 0 to 3 are channel 0
    }
    result = paths(model, mask, (2, 4, 4))
    assert counts(result) == [2, 1, 2]
    assert result.connected_logits == 2


def test_a_weight_that_only_sees_padding_is_no_path():
    # 1×1 image, 3×3 kernel: everything but the centre reads padding.
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
    mask = full(model) | {"0.weight": only((2, 1, 3, 3), (0, 0, 0, 0), (1, 0, 1, 1))}
    assert counts(paths(model, mask, (1, 1, 1))) == [1, 2]


def brute_force(model, mask, shape):
    """Perturb the input of a masked network with positive random weights: a logit that moves has a path."""
    model = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.rand(p.shape, generator=generator, dtype=p.dtype) + 0.5)
            p.mul_(mask.get(name, torch.zeros(())))
        x = torch.ones(1, *shape, dtype=torch.float64)
        return int((model(x) != model(torch.zeros_like(x))).sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ratio", [0.9, 0.985, 0.99, 0.995])
def test_lenet5_with_random_weights(seed, ratio):
    torch.manual_seed(seed)
    model = LeNet5()
    mask = prune(model, ratio)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    result = paths(model, mask, (1, 28, 28))
    assert result.connected_logits == brute_force(model, mask, (1, 28, 28))
    assert [layer.outputs for layer in result.layers] == [6, 16, 120, 84, 10]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert result.layers[-1].connected == result.connected_logits


@pytest.mark.parametrize("name", ["convnext_tiny", "vit_b_16", "resnet18", "efficientnet_b0"])
def test_torchvision_is_connected_until_its_first_layer_is_cut(name):
    size = {"image_size": 32} if name == "vit_b_16" else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=10, **size)
    mask = full(model)
    whole = paths(model, mask, (3, 32, 32))
    assert (whole.connected_logits, counts(whole)) == (10, [layer.outputs for layer in whole.layers])
    mask[next(iter(mask))][:] = False  # position embeddings are no input
    cut = paths(model, mask, (3, 32, 32))
    assert (cut.connected_logits, max(counts(cut))) == (0, 0)


class Preprocessed(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.fc = function, nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.function(x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x - 125) / 60,
        lambda x: x - x.mean(),
        lambda x: x - x.mean(0),
        lambda x: ((x - 125) / 60).clamp(min=0),
        lambda x: -x,
        lambda x: F.layer_norm(x, (3,)),
        lambda x: x.float(),
    ],
)
def test_preprocessing_does_not_cut(function):
    model = Preprocessed(function)
    mask = {"fc.weight": only((3, 3), (0, 0), (2, 1))}
    result = paths(model, mask, (3,))
    assert (counts(result), result.connected_logits) == ([2], 2)


def test_a_normalisation_by_a_function_makes_no_paths():
    model = mlp(Preprocessed(lambda x: F.layer_norm(x, (4,))))
    model[2].fc = nn.Identity()
    mask = {"0.weight": only((4, 3), (1, 0)), "3.weight": only((3, 4), (0, 1), (1, 2))}
    assert counts(paths(model, mask, (3,))) == [1, 1]


def test_pooling_by_the_maximum_keeps_every_path():
    model = nn.Sequential(nn.Conv2d(4, 4, 1, groups=4), nn.MaxPool3d((4, 1, 1)), nn.Flatten(), nn.Linear(4, 2))
    for channel in range(4):  # one of the four that are pooled has a path, the others are 0
        mask = full(model) | {"0.weight": only((4, 1, 1, 1), channel)}
        assert counts(paths(model, mask, (4, 2, 2))) == [1, 2]


def test_thin_paths_through_many_layers_do_not_vanish():
    depth = 200
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(depth)), nn.Linear(64, 2))
    mask = full(model) | {"0.weight": only((64, 64), (0, 0))}
    for index in range(1, depth):  # 63 of 64 inputs of the one live neuron are dead: 64^-200 is no float
        mask[f"{index}.weight"][1:] = False
    assert paths(model, mask, (64,)).connected_logits == 2


@pytest.mark.parametrize("function", [lambda x: x.double(), lambda x: torch.ops.aten.bincount(x.long().flatten())])
def test_a_network_that_cannot_be_differentiated_is_described_without_connectivity(function):
    model = Preprocessed(function)
    mask = full(model)
    described = describe("m", model, find_sites(model), mask, (3,))
    (warning,) = described["warnings"]
    assert warning.startswith("connectivity could not be computed: Preprocessed cannot be differentiated")
    assert "\n" not in warning
    assert described["mask"]["nonzero"] == 9
    assert "connected_logits" not in described["mask"]


def test_numbers_do_not_grow_with_depth():
    model = nn.Sequential(*(layer for _ in range(200) for layer in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 2))
    mask = full(model)  # 64^200 is not finite, and infinity times a masked weight no number
    mask["400.weight"][0, 1:] = False
    mask["400.weight"][1] = False
    assert paths(model, mask, (64,)).connected_logits == 1


@pytest.mark.parametrize(("connected", "ceiling"), [(10, 1.0), (9, 1.0), (6, 0.7), (1, 0.2), (0, 0.1)])
def test_ceiling(connected, ceiling):
    assert Connectivity((), 10, connected).ceiling == pytest.approx(ceiling)


def test_description():
    torch.manual_seed(0)
    model = LeNet5()
    mask = prune(model, 0.995)
    sites = find_sites(model, (1, 28, 28))
    described = describe("lenet5", model, sites, mask, (1, 28, 28))
    result = paths(model, mask, (1, 28, 28))
    assert described["mask"]["connected_logits"] == result.connected_logits < 10
    assert described["mask"]["accuracy_ceiling"] == pytest.approx(10 * (result.connected_logits + 1))
    assert described["mask"]["sparsity"] == pytest.approx(0.995, abs=0.001)
    assert [layer["connected"] for layer in described["mask"]["layers"]] == counts(result)
    assert f"Only {result.connected_logits} of 10 logits still have a path" in described["warnings"][-1]
    assert describe("lenet5", model, sites, None, None) | {"sites": []} == {
        "model": "lenet5", "traced": "fx", "sites": [], "gates": [], "kept": [], "fixed": [], "mask": None,
        "checkpoint": None, "warnings": [],
    }  # fmt: skip


def test_a_network_that_returns_no_logits():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    with pytest.raises(SafsError, match="Sequential must return one tensor of logits"):
        paths(model, full(model), (1, 4, 4))


def test_flops_of_lenet5_and_its_mode():
    model = LeNet5().train()
    model.conv1.eval()
    multiplications = 24 * 24 * 150 + 8 * 8 * 2400 + 30_720 + 10_080 + 840
    assert dense_flops(model, (1, 28, 28)) == 2 * multiplications
    assert (model.training, model.conv1.training) == (True, False)


class Idle(nn.Module):
    """Has layers that it calls in training alone, or never."""

    def __init__(self):
        super().__init__()
        self.body, self.act, self.head = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
        self.aux = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x):
        x = self.act(self.body(x))
        if self.training:
            return self.head(x), self.aux(x)
        return self.head(x)


def test_layers_that_are_never_called_are_named_with_their_share_of_the_weights():
    model = Idle()
    found = describe("m", model, find_sites(model, (4,)), full(model), (4,))["warnings"]
    (warning,) = [warning for warning in found if "never calls" in warning]
    share = round(100 * (32 + 16 + 16) / (16 + 8 + 32 + 16 + 48 + 16))
    assert warning == (
        f"The network never calls aux.0, aux.2, attention.out_proj, though {share} % of the weights that count as "
        "prunable are theirs."
    )
