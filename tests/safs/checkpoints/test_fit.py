import json
import struct

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from safs.checkpoints import load, load_into, read_checkpoint, read_mask, save_checkpoint
from safs.masks import apply_mask
from safs.models.lenet import LeNet5
from safs.pruning import prune
from spaces.errors import SafsError


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_another_network(tmp_path, rejects, name):
    save_checkpoint(tmp_path / name, LeNet5(), {})
    message = rejects(tmp_path / name, "is of another network than Sequential")
    assert "lacks '0.weight' (3, 1, 3, 3) (the first of 8)" in message  # counters of batches are not asked for
    assert "has 'conv1." in message
    assert "which the network has not (the first of 10)" in message


def test_wrong_shapes(tmp_path, pruned, rejects):
    state = pruned[0].state_dict() | {"4.weight": torch.ones(4, 13), "4.bias": torch.ones(5)}
    torch.save(state, tmp_path / "a.pt")
    message = rejects(tmp_path / "a.pt", "is of another network")
    assert "has '4.weight' of shape (4, 13) where the network has (4, 12)" in message
    assert "if channels were removed, give the factory the arguments that build it so" in message


@pytest.mark.parametrize(
    ("value", "found"), [(torch.nan, "1 NaN"), (-torch.inf, "1 infinite"), (1e300, "1 too large for torch.float32")]
)
@pytest.mark.parametrize(("name", "of"), [("4.weight", 48), ("1.running_var", 3)])
def test_values_that_are_not_finite(tmp_path, pruned, rejects, name, of, value, found):
    state = pruned[0].state_dict()
    state[name] = state[name].double()
    state[name].flatten()[0] = value
    torch.save(state, tmp_path / "a.pt")
    message = rejects(tmp_path / "a.pt", f"NaN or infinite values in '{name}'")
    assert f": of its {of} values, {found};" in message


def test_it_is_said_how_many_values_are_not_finite_and_in_how_many_tensors(tmp_path, pruned, rejects):
    state = pruned[0].state_dict()
    state["4.weight"].flatten()[:7] = torch.tensor([torch.nan] * 3 + [torch.inf] * 4)
    state["1.running_mean"][:] = torch.nan
    torch.save(state, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", r"'1.running_mean' \(the first of 2 such tensors\): of its 3 values, 3 NaN;")
    del state["1.running_mean"]
    torch.save(state | {"1.running_mean": torch.zeros(3)}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", r"in '4.weight': of its 48 values, 3 NaN, 4 infinite;")


def test_values_under_a_mask_may_be_anything(tmp_path, pruned, loads):
    model, mask = pruned
    state = model.state_dict()
    parts = {
        "4.weight_orig": torch.where(mask["4.weight"], state["4.weight"], torch.nan),
        "4.weight_mask": mask["4.weight"],
    }
    torch.save({name: state[name] for name in state if name != "4.weight"} | parts, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", state, mask)


@pytest.mark.parametrize("kind", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["4.weight", "4.bias"])
def test_weights_that_are_no_real_numbers(tmp_path, pruned, rejects, name, kind):
    state = pruned[0].state_dict()
    torch.save(state | {name: state[name].to(kind)}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", f"holds {kind} in '{name}' where the network has torch.float32")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_of_eight_bits_are_refused(tmp_path, pruned, rejects, kind, suffix):
    from safetensors.torch import save_file

    state = pruned[0].state_dict()
    state["4.weight"] = state["4.weight"].to(kind)
    path = tmp_path / f"a.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    rejects(path, f"holds {str(kind).removeprefix('torch.')} in '4.weight', whose scale it does not say")


def test_a_counter_of_another_type_is_read_unless_it_is_complex(tmp_path, small, pruned, rejects):
    name = "1.num_batches_tracked"
    for kind, fine in [(torch.int32, True), (torch.float32, True), (torch.complex64, False)]:
        torch.save(pruned[0].state_dict() | {name: torch.ones((), dtype=kind)}, tmp_path / "a.pt")
        if fine:
            load_into(small(), tmp_path / "a.pt")
        else:
            rejects(tmp_path / "a.pt", f"complex64 in '{name}'")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_networks(tmp_path, small, pruned, kind):
    model, mask = pruned
    state = {name: t.to(kind) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    other = small()
    got = load_into(other, tmp_path / "a.pt")
    assert all(torch.equal(got[name], kept) for name, kept in mask.items())
    assert all(torch.equal(t, state[name].to(t.dtype)) for name, t in other.state_dict().items())
    assert other[4].weight.dtype is torch.float32


@pytest.mark.parametrize(
    ("kind", "tiny"), [(torch.float16, 2.0**-24), (torch.bfloat16, 2.0**-133), (torch.float32, 2.0**-149)]
)
def test_the_smallest_number_of_a_type_is_no_pruned_weight(tmp_path, small, pruned, kind, tiny):
    model, mask = pruned
    state = {name: t.to(kind) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    position = tuple(mask["4.weight"].nonzero()[0])
    state["4.weight"][position] = tiny
    assert state["4.weight"][position] != 0
    torch.save(state, tmp_path / "a.pt")
    other = small()
    got = load_into(other, tmp_path / "a.pt")
    assert torch.equal(got["4.weight"], mask["4.weight"])
    assert other[4].weight[position] == tiny


@pytest.mark.parametrize("to", [torch.float32, torch.float16])
def test_a_value_that_is_zero_only_in_the_networks_type_is_not_pruned(tmp_path, small, pruned, to):
    model, mask = pruned
    state = {name: t.double() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    position = tuple(mask["4.weight"].nonzero()[0])
    state["4.weight"][position] = 1e-60
    torch.save(state, tmp_path / "a.pt")
    other = small().to(to)
    got = load_into(other, tmp_path / "a.pt")
    assert other[4].weight[position] == 0
    assert got["4.weight"][position]
    assert torch.equal(got["4.weight"], mask["4.weight"])


def test_a_zero_with_a_sign_is_a_pruned_weight_and_loses_it(tmp_path, small, pruned):
    state, mask = pruned[0].state_dict(), pruned[1]
    state["4.weight"] = torch.where(mask["4.weight"], state["4.weight"], -0.0)
    torch.save(state, tmp_path / "a.pt")
    model = small()
    got = load_into(model, tmp_path / "a.pt")
    assert torch.equal(got["4.weight"], mask["4.weight"])
    assert not torch.signbit(model[4].weight[~mask["4.weight"]]).any()


@pytest.mark.parametrize(
    ("zeros", "share", "pruned"), [(1, 0.01, True), (1, 0.02, False), (2, 0.02, True), (0, 0.0, True)]
)
def test_the_smallest_share_of_zeros_that_counts_as_pruned(tmp_path, zeros, share, pruned):
    saved, model = torch.nn.Linear(10, 10), torch.nn.Linear(10, 10)
    with torch.no_grad():
        saved.weight.fill_(1.0).flatten()[:zeros] = 0.0
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    loaded = load(model, read_checkpoint(tmp_path / "a.pt"), min_zero_share=share)
    assert (loaded.mask is not None) == pruned
    assert loaded.mask_origin == ("inferred" if pruned else None)
    assert loaded.describe()["zero_share"] == zeros / 100
    assert loaded.describe()["min_zero_share"] == share


class Tied(nn.Module):
    """An embedding whose weights also make the logits."""

    def __init__(self, seed=0):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)
        self.second.weight = self.first.weight
        nn.init.normal_(self.first.weight, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("left", ["first.weight", "second.weight"])
def test_tied_weights_may_stand_there_once(tmp_path, left):
    saved, model = Tied(1), Tied(2)
    mask = prune(saved, 0.5)
    apply_mask(saved, mask)
    save_checkpoint(tmp_path / "whole.pt", saved, mask)
    state = read_checkpoint(tmp_path / "whole.pt").content.tensors
    torch.save({name: tensor for name, tensor in state.items() if name != left}, tmp_path / "a.pt")
    found = load_into(model, tmp_path / "a.pt")
    assert torch.equal(model.first.weight, state["first.weight"])
    assert model.second.weight is model.first.weight
    assert found.keys() == mask.keys()
    assert torch.equal(found["first.weight"], mask["first.weight"])


def test_tied_weights_as_safetensors_saves_them(tmp_path):
    saved, model = Tied(1), Tied(2)
    save_model(saved, str(tmp_path / "a.safetensors"))
    assert len(read_checkpoint(tmp_path / "a.safetensors").content.tensors) == 1
    load_into(model, tmp_path / "a.safetensors")
    assert torch.equal(model.second.weight, saved.second.weight)


def test_weights_that_are_tied_to_none_that_is_there_are_missing(tmp_path, rejects):
    torch.save({"other": torch.ones(4, 3)}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", r"lacks 'first.weight' \(4, 3\) \(the first of 2\)", model=Tied())


class Causal(nn.Module):
    """A layer with the mask of a decoder's attention."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("causal", torch.full((3, 3), -torch.inf).triu(1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.float64])
def test_a_buffer_that_is_infinite_in_the_network_too(tmp_path, kind):
    saved, model = Causal().to(kind), Causal()
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    load_into(model, tmp_path / "a.pt")
    assert torch.equal(model.causal, Causal().causal)
    assert torch.equal(model.linear.weight, saved.linear.weight.float())


@pytest.mark.parametrize(("place", "value"), [((0, 0), -torch.inf), ((0, 1), torch.inf), ((0, 1), torch.nan)])
def test_a_buffer_that_is_infinite_elsewhere(tmp_path, rejects, place, value):
    state = Causal().state_dict()
    state["causal"][place] = value
    torch.save(state, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", "holds NaN or infinite values in 'causal'", model=Causal())


def test_a_layer_without_a_shape(tmp_path):
    torch.save(nn.Sequential(nn.Linear(3, 2)).state_dict(), tmp_path / "a.pt")
    message = r"'0.weight' has no shape yet; give its layer \(a lazy one\) its sizes in the factory"
    with pytest.raises(SafsError, match=message):
        load_into(nn.Sequential(nn.LazyLinear(2)), tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["0.weight", "4.bias"])
def test_a_network_that_leaves_weights_out_of_its_state_dict(tmp_path, small, name):
    def leave_out(_, state, *__):
        del state[name]

    def leaving():
        model = small()
        model.register_state_dict_post_hook(leave_out)
        return model

    torch.save(leaving().state_dict(), tmp_path / "a.pt")
    with pytest.raises(SafsError, match=f"leaves '{name}' out of its state dict, so no checkpoint can hold it"):
        load_into(leaving(), tmp_path / "a.pt")


LONG = "x" * 10**6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({LONG: torch.ones(2)}, "which the network has not"),
        ({LONG: torch.eye(2).to_sparse()}, "is sparse"),
        ({"module." * 10**5 + "4.bias": torch.ones(4), "4.bias": torch.ones(4)}, "which are one tensor of the network"),
        ({f"4.parametrizations.weight.{LONG}": torch.ones(4, 12)}, "from which only its own network computes it"),
    ],
)
def test_what_stands_in_a_file_is_shown_in_short(tmp_path, rejects, content, message):
    torch.save(content, tmp_path / "a.pt")
    assert len(rejects(tmp_path / "a.pt", message)) < 1000


def test_a_name_in_a_mask_is_shown_in_short(tmp_path, small, pruned):
    save_checkpoint(tmp_path / "a.pt", *pruned)
    torch.save({LONG: torch.ones(2)}, tmp_path / "mask.pt")
    with pytest.raises(SafsError, match="which Sequential does not have") as caught:
        load(small(), read_checkpoint(tmp_path / "a.pt"), mask=read_mask(tmp_path / "mask.pt"))
    assert len(str(caught.value)) < 1000


def test_a_type_in_a_header_is_shown_in_short(tmp_path, rejects):
    header = json.dumps({"a": {"dtype": LONG, "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert len(rejects(tmp_path / "a.safetensors", "is damaged or no safetensors file")) < 1000
