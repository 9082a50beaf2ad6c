"""Weights in parts: what pruning tools and parametrizations make of a state dict."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

from safs.checkpoints import load, load_into, read_checkpoint, save_checkpoint
from safs.masks import prunable_weights, sparsity, violations


class Masked(nn.Module):
    """A parametrization that multiplies with a mask, as users write them."""

    def __init__(self, kept):
        super().__init__()
        self.register_buffer("mask", kept)

    def forward(self, weight):
        return weight * self.mask


class Squared(nn.Module):
    """A parametrization of which nothing stands in the state dict."""

    def forward(self, weight):
        return weight.square()


class MaskedLinear(nn.Linear):
    """A layer that keeps its mask as a buffer."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.register_buffer("weight_mask", torch.ones(outputs, inputs))

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.weight_mask, self.bias)


def dense_weights(model):
    """Fill the weights with values that are nowhere zero."""
    for weight in prunable_weights(model).values():
        nn.init.uniform_(weight, 0.5, 1.0)
    return model


def read(path, model, **options):
    return load(model, read_checkpoint(path), **options)


def outputs(model):
    with torch.no_grad():
        return model.eval()(torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4))


def test_files_of_torch_prune(tmp_path, small, pruned, loads):
    model, mask = pruned
    saved = dense_weights(copy.deepcopy(model))
    expected = model.state_dict() | {
        name: torch.where(kept, saved.state_dict()[name], 0.0) for name, kept in mask.items()
    }
    prune.custom_from_mask(saved[0], "weight", mask["0.weight"])
    prune.custom_from_mask(saved[4], "weight", mask["4.weight"])
    assert "4.weight_orig" in saved.state_dict()
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", expected, mask)
    torch.save(nn.DataParallel(saved).state_dict(), tmp_path / "a.pt")
    loads(tmp_path / "a.pt", expected, mask)
    other = small()
    loaded = read(tmp_path / "a.pt", other)
    assert loaded.mask_origin == "own"
    assert torch.equal(outputs(other), outputs(saved))


def test_biases_that_torch_prune_pruned(tmp_path, small):
    saved, model = dense_weights(small(1)), small()
    nn.init.ones_(saved[4].bias)
    prune.random_unstructured(saved[4], "bias", amount=2)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    loaded = read(tmp_path / "a.pt", model)
    assert list(loaded.mask) == ["0.weight", "4.weight", "4.bias"]
    assert loaded.mask["0.weight"].all()
    assert torch.equal(loaded.mask["4.bias"], saved[4].bias_mask.bool())
    assert torch.equal(model[4].bias, saved[4].bias)


def test_a_mask_of_one_layer_keeps_the_others_whole(tmp_path, small):
    saved, model = dense_weights(small(1)), small()
    prune.l1_unstructured(saved[0], "weight", amount=9)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    mask = load_into(model, tmp_path / "a.pt")
    assert sparsity(mask) == 9 / (27 + 48)


def test_files_of_a_masks_parametrization(tmp_path, small, pruned, loads):
    """The network that reads it is plain."""
    model, mask = pruned
    saved = dense_weights(copy.deepcopy(model))
    dense = copy.deepcopy(saved).state_dict()
    for name, layer in (("0.weight", saved[0]), ("4.weight", saved[4])):
        parametrize.register_parametrization(layer, "weight", Masked(mask[name]))
    weights = {name: torch.where(kept, dense[name], 0.0) for name, kept in mask.items()}
    expected = model.state_dict() | weights
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    loads(tmp_path / "a.pt", expected, mask)
    other = small()
    assert read(tmp_path / "a.pt", other).mask_origin == "own"
    assert torch.equal(outputs(other), outputs(saved))


@pytest.mark.parametrize("how", [parametrizations.weight_norm, weight_norm])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.filterwarnings("ignore")
def test_files_of_weight_norm(tmp_path, small, how, dim):
    saved, model = small(1), small()
    how(saved[0])
    how(saved[4], dim=dim)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    assert load_into(model, tmp_path / "a.pt") is None
    torch.testing.assert_close(outputs(model), outputs(saved))
    torch.testing.assert_close(model[4].weight, saved[4].weight, rtol=1e-6, atol=0)


def test_zeros_of_a_direction_are_zeros_of_the_weight(tmp_path, small, pruned):
    model, mask = pruned
    saved = parametrizations.weight_norm(copy.deepcopy(model)[4])
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("4.")}
    torch.save(state | {f"4.{name}": tensor for name, tensor in saved.state_dict().items()}, tmp_path / "a.pt")
    got = load_into(small(), tmp_path / "a.pt")
    assert torch.equal(got["4.weight"], mask["4.weight"])


def test_masks_beside_weights_that_keep_their_name(tmp_path, pruned, loads):
    model, mask = pruned
    state = dense_weights(copy.deepcopy(model)).state_dict()
    expected = state | {name: torch.where(kept, state[name], 0.0) for name, kept in mask.items()}
    torch.save(state | {f"{name}_mask": kept.float() for name, kept in mask.items()}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", expected, mask)


def test_a_network_whose_layers_keep_masks_as_buffers(tmp_path):
    saved, model = (nn.Sequential(MaskedLinear(6, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    saved[0].weight_mask[:, ::2] = 0
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    loaded = read(tmp_path / "a.pt", model)
    assert loaded.mask_origin == "own"
    assert torch.equal(loaded.mask["0.weight"], saved[0].weight_mask.bool())
    assert violations(model.state_dict(), loaded.mask) == []
    assert torch.equal(model[0].weight_mask, saved[0].weight_mask)


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel])
def test_a_network_that_registers_parametrizations_itself(tmp_path, small, pruned, wrap):
    """Its checkpoint is computed by its own code, and it is plain afterwards."""
    _, mask = pruned

    def build(seed):
        model = dense_weights(small(seed))
        parametrize.register_parametrization(model[0], "weight", Squared())
        parametrize.register_parametrization(model[4], "weight", Masked(torch.ones(4, 12, dtype=torch.bool)))
        return model

    saved, model = build(1), build(2)
    saved[4].parametrizations.weight[0].mask = mask["4.weight"]
    torch.save(wrap(saved).state_dict(), tmp_path / "a.pt")
    loaded = read(tmp_path / "a.pt", model)
    assert set(model.state_dict()) == set(small().state_dict())
    assert torch.equal(outputs(model), outputs(saved))
    assert loaded.mask_origin == "own"
    assert torch.equal(loaded.mask["4.weight"], mask["4.weight"])
    assert loaded.mask["0.weight"].all()
    save_checkpoint(tmp_path / "plain.pt", model, loaded.mask)
    again = build(3)
    assert torch.equal(load_into(again, tmp_path / "plain.pt")["4.weight"], mask["4.weight"])
    assert torch.equal(outputs(again), outputs(saved))


def test_a_network_that_prunes_itself(tmp_path, small):
    def build(seed):
        model = dense_weights(small(seed))
        prune.l1_unstructured(model[4], "weight", amount=24)
        return model

    saved, model = build(1), build(2)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    mask = load_into(model, tmp_path / "a.pt")
    assert torch.equal(mask["4.weight"], saved[4].weight_mask.bool())
    assert torch.equal(outputs(model), outputs(saved))
    assert set(model.state_dict()) == set(small().state_dict())


def parametrized(small, parametrization):
    model = small(1)
    parametrize.register_parametrization(model[4], "weight", parametrization)
    return model.state_dict()


class Removing(nn.Module):
    """A parametrization whose buffer is no mask: it says what is removed, not what is kept."""

    def __init__(self, removed):
        super().__init__()
        self.register_buffer("removed", removed)

    def forward(self, weight):
        return weight * (1 - self.removed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda small: parametrized(small, Squared()),
            "keeps '4.weight' as 'original', from which only its own network",
        ),
        (lambda small: parametrized(small, Removing(torch.ones(4, 12))), "keeps '4.weight' as '0.removed', 'original'"),
        (lambda small: parametrized(small, Masked(torch.ones(4, 1))), r"must have its weight's shape \(4, 12\)"),
        (
            lambda small: parametrized(small, Masked(torch.full((4, 12), 0.5))),
            "mask of '4.weight' must hold only 0 and 1",
        ),
        (lambda small: small().state_dict() | {"4.weight_mask": torch.ones(3)}, "must have its weight's shape"),
        (lambda small: small().state_dict() | {"4.weight_v": torch.ones(3)}, "keeps '4.weight' as '4.weight', '_v'"),
        (lambda small: {"4.weight_g": torch.ones(4, 2), "4.weight_v": torch.ones(4, 12)}, "which do not fit"),
        (lambda small: {"4.weight_mask": torch.ones(4, 12)}, "lacks '0.weight'"),
        (lambda small: {"4.weight_orig": torch.ones(4, 12)}, "keeps '4.weight' as '_orig'"),
    ],
)
def test_parts_that_do_not_determine_a_weight(tmp_path, small, rejects, change, message):
    torch.save(change(small), tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", message)


def test_structured_pruning_by_torch_prune_masks_whole_channels(tmp_path, small):
    saved, model = dense_weights(small(1)), small()
    prune.ln_structured(saved[0], "weight", amount=1, n=2, dim=0)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    mask = load_into(model, tmp_path / "a.pt")
    assert sorted(int(channel.sum()) for channel in mask["0.weight"]) == [0, 9, 9]
