import pytest
import torch
import torch.nn.utils.prune
from torch import nn

from safs.masks import (
    MaskHolder,
    apply_mask,
    check_mask,
    infer_mask,
    prunable_weights,
    sparsity,
    violations,
)
from safs.sites import find_sites
from spaces.errors import SafsError


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


def half(model):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(w.shape, generator=generator) < 0.5 for name, w in prunable_weights(model).items()}


def test_prunable_weights_are_those_of_linear_and_convolution_layers():
    model = net()
    weights = prunable_weights(model)
    assert list(weights) == ["0.weight", "4.weight"]
    assert weights["4.weight"] is model[4].weight
    assert list(prunable_weights(nn.Linear(2, 2))) == ["weight"]
    assert list(prunable_weights(nn.ConvTranspose1d(2, 2, 1))) == ["weight"]


def test_a_shared_weight_is_pruned_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert list(prunable_weights(model)) == ["0.weight"]


def test_a_weight_that_is_computed_is_not_pruned():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3))
    assert list(prunable_weights(model)) == ["1.weight"]


@pytest.mark.parametrize(
    "how", [nn.utils.weight_norm, lambda layer: nn.utils.prune.l1_unstructured(layer, "weight", 0.5)]
)
@pytest.mark.filterwarnings("ignore")
def test_a_weight_that_cannot_be_copied_is_refused(how):
    model = nn.Sequential(nn.ReLU(), how(nn.Linear(3, 3)))
    for function in (prunable_weights, find_sites):
        with pytest.raises(SafsError, match=r"^Sequential holds '1\.weight', .*prune\.remove or .*remove_weight_norm"):
            function(model)


def test_a_weight_shared_with_another_kind_of_layer():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5)
            self.out.weight = self.embedding.weight

    model = Tied()
    mask = check_mask({"out.weight": torch.zeros(5, 3)}, model)
    apply_mask(model, mask)
    assert (model.embedding.weight == 0).all()
    with pytest.raises(SafsError, match=r"'out\.weight', which is no parameter of the network"):
        MaskHolder(
            model.named_parameters(), mask
        )  # there it is called embedding.weight: never a mask that holds nothing
    holder = MaskHolder(model.named_parameters(remove_duplicate=False), mask)
    with torch.no_grad():
        model.out.weight.fill_(1.0)
    holder.mask_weights()
    assert (model.out.weight == 0).all()


def test_apply_mask_leaves_exact_zeros_and_nothing_else():
    model = net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    mask = half(model)
    apply_mask(model, mask)
    for name, parameter in model.named_parameters():
        kept = mask.get(name, torch.ones_like(parameter, dtype=torch.bool))
        assert torch.equal(parameter[kept], before[name][kept])
        assert (parameter[~kept] == 0).all()
        assert not torch.signbit(parameter[~kept]).any()


def test_infer_mask():
    model = net()
    assert infer_mask(prunable_weights(model)) is None
    mask = half(model)
    apply_mask(model, mask)
    inferred = infer_mask(prunable_weights(model))
    assert all(torch.equal(inferred[name], mask[name]) for name in mask)
    assert infer_mask(prunable_weights(model), smallest_share=0.9) is None
    assert infer_mask({}) is None
    assert infer_mask({}, smallest_share=0.0) is None


@pytest.mark.parametrize(("zeros", "pruned"), [(0, False), (9, False), (10, True), (11, True)])
def test_from_one_percent_of_zeros_on_a_network_counts_as_pruned(zeros, pruned):
    layer = nn.Linear(100, 10)
    with torch.no_grad():
        layer.weight.fill_(1.0).flatten()[:zeros] = 0.0
    assert (infer_mask(prunable_weights(layer)) is not None) == pruned


@pytest.mark.parametrize("zeros", [7, 29, 57, 58])
def test_a_share_of_zeros_that_is_just_the_smallest_counts(zeros):
    weight = torch.ones(100)
    weight[:zeros] = 0.0
    assert infer_mask({"weight": weight}, zeros / 100) is not None
    assert infer_mask({"weight": weight}, (zeros + 1) / 100) is None


def test_sparsity():
    mask = {"a": torch.tensor([True, False, False]), "b": torch.tensor([[False, True]])}
    assert sparsity(mask) == pytest.approx(3 / 5)
    assert sparsity({}) == 0.0


def test_violations():
    mask = {"a": torch.tensor([True, False]), "b": torch.tensor([False, True])}
    assert violations({"a": torch.tensor([1.0, -0.0]), "b": torch.tensor([0.0, 0.0])}, mask) == []
    assert violations({"a": torch.tensor([1.0, 1e-30]), "b": torch.tensor([torch.nan, 0.0])}, mask) == ["a", "b"]


def test_check_mask():
    model = net()
    mask = check_mask({"0.weight": torch.ones(3, 1, 3, 3), "4.weight": torch.zeros(4, 12, dtype=torch.uint8)}, model)
    assert all(tensor.dtype is torch.bool for tensor in mask.values())
    assert mask["0.weight"].all()
    assert not mask["4.weight"].any()


def test_weights_without_a_mask_are_kept_whole():
    mask = check_mask({"1.bias": torch.tensor([1, 0, 1]), "4.weight": torch.zeros(4, 12)}, net())
    assert list(mask) == ["0.weight", "4.weight", "1.bias"]
    assert mask["0.weight"].shape == (3, 1, 3, 3)
    assert mask["0.weight"].all()
    assert mask["1.bias"].tolist() == [True, False, True]
    assert sparsity(check_mask({}, net())) == 0


def test_the_masks_of_a_weight_that_layers_share_become_one():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    one, other = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 1], [0, 1]])
    assert torch.equal(check_mask({"1.weight": one}, model)["0.weight"], one.bool())
    both = check_mask({"1.weight": one, "0.weight": other}, model)
    assert list(both) == ["0.weight"]
    assert torch.equal(both["0.weight"], (one & other).bool())


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"5.weight": torch.ones(1)}, "holds '5.weight', which Sequential does not have"),
        ({"1.running_mean": torch.ones(3)}, "holds '1.running_mean', which"),
        ({"4.weight": torch.ones(12, 4)}, r"weight's shape \(4, 12\), but has \(12, 4\)"),
        ({"4.weight": torch.full((4, 12), 0.5)}, "must hold only 0 and 1"),
        ({"4.weight": torch.full((4, 12), torch.nan)}, "must hold only 0 and 1"),
        ({"4.weight": torch.full((4, 12), -1)}, "must hold only 0 and 1"),
        ({"4.weight": [1.0]}, "must be a tensor, but is a list"),
    ],
)
def test_a_mask_that_does_not_fit(mask, message):
    with pytest.raises(SafsError, match=message):
        check_mask(mask, net())


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    ],
)
def test_masks_hold_at_every_step(make):
    model = net()
    mask = half(model)
    apply_mask(model, mask)
    holder = MaskHolder(model.named_parameters(), mask)
    optimizer = make(model.parameters())
    x = torch.randn(8, 1, 4, 4)
    before = {name: w.detach().clone() for name, w in prunable_weights(model).items()}
    for _ in range(5):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        assert any((w.grad[~mask[name]] != 0).any() for name, w in prunable_weights(model).items())
        holder.mask_gradients()
        for name, weight in prunable_weights(model).items():
            assert (weight.grad[~mask[name]] == 0).all()
            assert (weight.grad[mask[name]] != 0).any()
        optimizer.step()
        holder.mask_weights()
        assert violations(model.state_dict(), mask) == []
    assert all((w != before[name])[mask[name]].any() for name, w in prunable_weights(model).items())


def test_weights_are_masked_whatever_the_optimiser_did():
    model = net()
    mask = half(model)
    holder = MaskHolder(model.named_parameters(), mask)
    holder.mask_weights()
    assert violations(model.state_dict(), mask) == []
    assert all(torch.equal(w != 0, mask[name]) for name, w in prunable_weights(model).items())


def test_a_weight_without_gradient_is_left_alone():
    model = net()
    mask = half(model)
    model[4].weight.requires_grad_(False)
    holder = MaskHolder(model.named_parameters(), mask)
    holder.mask_gradients()  # before any backward pass
    model(torch.randn(2, 1, 4, 4)).sum().backward()
    holder.mask_gradients()
    assert (model[0].weight.grad[~mask["0.weight"]] == 0).all()
    assert model[4].weight.grad is None


def test_an_empty_mask_holds_nothing():
    model = net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    holder = MaskHolder(model.named_parameters(), {})
    holder.mask_gradients()
    holder.mask_weights()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
