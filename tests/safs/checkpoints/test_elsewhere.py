"""Weights that are pruned but belong to no linear or convolution layer."""

import copy

import pytest
import torch
from torch import nn

from safs.checkpoints import load_into
from safs.data.dataset import Data
from safs.masks import apply_mask, prunable_weights, sparsity, violations
from safs.protocol import Protocol
from safs.pruning import prune
from safs.training import train


class Attending(nn.Module):
    """An attention, and weights under a name of their own."""

    def __init__(self, **options):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.mixing = nn.Parameter(torch.randn(8, 8))
        self.scale = nn.Parameter(torch.tensor([[1.0], [0.0]])[:, 0])
        self.act, self.head = nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        x = x.flatten(1).unflatten(1, (-1, 8)) + self.token
        x, _ = self.attention(x, x[..., : self.attention.kdim], x[..., : self.attention.vdim])
        return self.head(self.act(x @ self.mixing).mean(1) * self.scale.sum())


def zeroed(model, names, share):
    """Set the smallest values of some parameters to zero, and return where they are not."""
    kept = {}
    with torch.no_grad():
        for name in names:
            weight = model.get_parameter(name)
            kept[name] = weight.abs() > weight.abs().flatten().kthvalue(int(share * weight.numel())).values
            weight.mul_(kept[name])
    return kept


PACKED = ("attention.in_proj_weight",)
APART = ("attention.q_proj_weight", "attention.k_proj_weight", "attention.v_proj_weight")


@pytest.mark.parametrize(("options", "projections"), [({}, PACKED), ({"kdim": 4, "vdim": 6}, APART)])
def test_what_a_file_holds_as_zeros_is_masked_and_held_under_any_name(tmp_path, options, projections):
    model = Attending(**options)
    kept = zeroed(model, [*projections, "attention.out_proj.weight", "head.weight", "mixing"], 0.75)
    torch.save(model.state_dict(), tmp_path / "zeros.pt")
    network = Attending(**options)
    mask = load_into(network, tmp_path / "zeros.pt")
    assert mask.keys() == kept.keys()  # neither the token, all of zeros, nor the scale, a vector
    assert all(torch.equal(mask[name], kept[name]) for name in kept)
    data = Data(torch.randn(12, 1, 4, 4), torch.arange(12) % 3, 3)
    train(network, mask, data, torch.arange(12), Protocol(epochs=2, batch_size=4, lr=0.1), seed=0)
    assert violations(network.state_dict(), mask) == []
    assert not torch.equal(network.mixing, model.mixing)


def test_weights_under_other_names_count_by_their_own_share(tmp_path):
    model = Attending()
    zeroed(model, ["mixing"], 0.5)
    torch.save(model.state_dict(), tmp_path / "zeros.pt")
    assert load_into(Attending(), tmp_path / "zeros.pt", min_zero_share=0.6) is None
    mask = load_into(Attending(), tmp_path / "zeros.pt", min_zero_share=0.05)
    assert int(mask["mixing"].sum()) == 32
    assert all(kept.all() for name, kept in mask.items() if name != "mixing")


@pytest.mark.parametrize("method", ["magnitude", "random", "erk"])
def test_attention_is_pruned_with_the_rest(method):
    model = Attending()
    mask = prune(model, 0.9, method=method, seed=0)
    assert set(mask) == {*PACKED, "attention.out_proj.weight", "head.weight"} == set(prunable_weights(model))
    assert sparsity(mask) == pytest.approx(0.9, abs=2 / 280)
    before = copy.deepcopy(model.state_dict())
    apply_mask(model, mask)
    weight = model.attention.in_proj_weight
    assert torch.equal(weight, before[PACKED[0]] * mask[PACKED[0]])
    assert 0 < mask[PACKED[0]].sum() < 0.5 * weight.numel()
