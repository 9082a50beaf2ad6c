import argparse
import copy
import io
import os
import random
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune as torch_prune

from safs.checkpoints import load_into, read_checkpoint, save_checkpoint
from safs.masks import apply_mask, prunable_weights
from safs.models.lenet import LeNet5
from safs.pruning import prune
from spaces.errors import SafsError


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


@pytest.fixture
def pruned():
    """A network with its weights, and its mask."""
    model = small(1)
    mask = prune(model, 0.5)
    apply_mask(model, mask)
    return model, mask


def refused(path, message, **kwargs):
    """Check that a checkpoint is refused in one line that names it, and leaves the network as it was."""
    model = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(SafsError, match=message) as caught:
        load_into(model, path, **kwargs)
    assert str(path) in str(caught.value) or "mask" in message
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return str(caught.value)


def loads(path, state, mask=None, **kwargs):
    model = small()
    got = load_into(model, path, **kwargs)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    if mask is None:
        assert got is None
    else:
        assert set(got) == set(mask)
        assert all(torch.equal(got[name], kept) for name, kept in mask.items())


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors"])
@pytest.mark.parametrize("dense", [False, True])
def test_save_and_load(tmp_path, pruned, name, dense):
    model, mask = (small(2), {}) if dense else pruned
    save_checkpoint(tmp_path / name, model, mask)
    loads(tmp_path / name, model.state_dict(), mask or None)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_what_is_saved_is_masked_with_zeros_that_have_no_sign(tmp_path, name):
    model = small()
    with torch.no_grad():
        model[4].weight.fill_(-1.0)
    mask = prune(model, 0.5)
    save_checkpoint(tmp_path / name, model, mask)
    state = read_checkpoint(tmp_path / name).state
    for key, kept in mask.items():
        assert (state[key][~kept] == 0).all()
        assert not torch.signbit(state[key][~kept]).any()
        assert torch.equal(state[key][kept], model.state_dict()[key][kept])
    loads(tmp_path / name, state, mask)
    assert (model[4].weight == -1).all()


WRAPPERS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer": {"state": {}}},
    "model": lambda s: {"epoch": 1, "model": s},
    "net": lambda s: {"net": s, "acc": 93.1},
    "ema": lambda s: {"state_dict_ema": s, "epoch": 3},
    "both": lambda s: {"state_dict_ema": {name: 2 * value for name, value in s.items()}, "state_dict": s},
    "twice": lambda s: {"model": {"state_dict": s}},
}
PREFIXES = ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_and_prefixes(tmp_path, pruned, wrapper, prefix, legacy):
    model, mask = pruned
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    torch.save(WRAPPERS[wrapper](state), tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_prefixes_in_safetensors_and_in_masks(tmp_path, pruned):
    model, mask = pruned
    save_file({f"module.{k}": v for k, v in model.state_dict().items()}, tmp_path / "a.safetensors")
    loads(tmp_path / "a.safetensors", model.state_dict(), mask)
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state, "mask": {f"module.{k}": v.float() for k, v in mask.items()}}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_a_network_whose_own_names_begin_like_a_wrappers(tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = small()

    saved, model = Own(), Own()
    nn.init.ones_(saved.module[4].weight)
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    load_into(model, tmp_path / "a.pt")
    assert (model.module[4].weight == 1).all()


def test_files_of_torch_prune(tmp_path, pruned):
    model, mask = pruned
    saved = copy.deepcopy(model)
    nn.init.constant_(saved[4].weight, 0.7)
    torch_prune.custom_from_mask(saved[0], "weight", mask["0.weight"])
    torch_prune.custom_from_mask(saved[4], "weight", mask["4.weight"])
    assert "4.weight_orig" in saved.state_dict()
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "a.pt")
    expected = model.state_dict() | {"4.weight": torch.where(mask["4.weight"], 0.7, 0.0)}
    assert torch.equal(read_checkpoint(tmp_path / "a.pt").state["4.weight"], expected["4.weight"])
    loads(tmp_path / "a.pt", expected, mask)


def test_the_files_own_mask_is_not_inferred(tmp_path, pruned):
    model, mask = pruned
    wider = {name: kept.clone() for name, kept in mask.items()}
    position = tuple((~mask["4.weight"]).nonzero()[0])
    wider["4.weight"][position] = True  # a weight that is kept, and happens to be zero
    torch.save({"state_dict": model.state_dict(), "mask": wider}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), wider)


def test_a_mask_is_applied_where_weights_are_not_zero(tmp_path):
    model = small(3)
    mask = prune(model, 0.5)
    torch.save({"state_dict": model.state_dict(), "mask": mask}, tmp_path / "a.pt")
    other = small()
    load_into(other, tmp_path / "a.pt")
    assert all((w[~mask[name]] == 0).all() for name, w in prunable_weights(other).items())


def test_what_else_checkpoints_hold_does_no_harm(tmp_path, pruned):
    model, mask = pruned
    content = {
        "state_dict": model.state_dict(), "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9),
        "epoch": np.int64(3), "history": [1.0, 2.0], "mask": None,
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_counters_of_batches_may_be_missing(tmp_path, pruned):
    model, mask = pruned
    state = {name: tensor for name, tensor in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_missing_empty_folder_text(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    refused(path, "There is no checkpoint at")
    path.touch()
    refused(path, "is empty")
    path.write_text("accuracy,epoch\n0.93,12\n" * 10)
    refused(path, "damaged or no")
    path.write_text("I am a global text about GLOBALS, not a checkpoint.\n")
    refused(path, "damaged or no")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    refused(folder, "is a folder, not a file")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_at_any_place(tmp_path, pruned, kind):
    model, mask = pruned
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pt")
    if kind == "legacy":
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    else:
        save_checkpoint(path, model, mask)
    whole = path.read_bytes()
    cuts = {1, 2, 3, 7, 8, 9, 64, len(whole) - 1, len(whole) - 8} | set(range(10, len(whole), max(1, len(whole) // 50)))
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        message = refused(path, "damaged or no" if kind != "legacy" else "damaged or no|pickled code")
        assert "weights_only" not in message  # PyTorch's own advice is to run the file's code
    path.write_bytes(whole)
    loads(path, model.state_dict(), mask)


@pytest.mark.parametrize("trust_pickle", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_never_raise_anything_else(tmp_path, pruned, legacy, trust_pickle):
    model, _ = pruned
    path = tmp_path / "a.pt"
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer, _use_new_zipfile_serialization=not legacy)
    whole = buffer.getvalue()
    rng = random.Random(0)
    if trust_pickle:  # random bytes must not become code that is run: only cut
        damaged = [whole[:cut] for cut in range(1, len(whole), len(whole) // 20)]
    else:
        damaged = []
        for _ in range(120):
            changed = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                changed[rng.randrange(min(1200, len(whole)))] = rng.randrange(256)
            damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        try:
            load_into(small(), path, trust_pickle=trust_pickle)
        except SafsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - a flipped bit in a weight is no error


class Creates:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


class CallsSystem(Creates):
    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


class Evaluates(Creates):
    def __reduce__(self):
        return (eval, (f"open({self.path!r}, 'w')",))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [Creates, CallsSystem, Evaluates])
def test_pickled_code_is_not_run(tmp_path, pruned, kind, legacy):
    model, mask = pruned
    made = tmp_path / "made"
    content = {"state_dict": model.state_dict(), "epoch": kind(made)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    refused(tmp_path / "a.pt", "contains pickled code, which is not run; .* or pass --trust-pickle")
    assert not made.exists()
    loads(tmp_path / "a.pt", model.state_dict(), mask, trust_pickle=True)
    assert made.exists()


def test_code_does_not_hide_behind_the_suffix(tmp_path):
    torch.save({"a": Creates(tmp_path / "made")}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "damaged or no safetensors file")
    assert not (tmp_path / "made").exists()


def test_code_that_fails_is_an_error_too(tmp_path):
    class Fails:
        def __reduce__(self):
            return (int, ("x",))

    torch.save({"a": Fails()}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "damaged or no", trust_pickle=True)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_whole_network_needs_trust(tmp_path, pruned, wrapped):
    model, mask = pruned
    torch.save({"model": model} if wrapped else model, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "contains pickled code")
    loads(tmp_path / "a.pt", model.state_dict(), mask, trust_pickle=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "must hold a state dict, but holds a list"),
        (torch.ones(2), "must hold a state dict, but holds a Tensor"),
        (3, "must hold a state dict, but holds a int"),
        ({}, "holds no tensor"),
        ({"epoch": 3, "state_dict": {"lr": 0.1}}, "holds no tensor; its keys: 'lr'"),
        ({"weights": {"a": torch.ones(2)}, 3: 4}, "holds no tensor; its keys: 'weights', 3"),
        ({f"key{i}": i for i in range(20)}, r"its keys: 'key0', .*'key7'\.$"),
        ({"0.weight": torch.eye(3).to_sparse()}, "must hold plain tensors, but '0.weight' is not"),
        ({"0.weight": torch.empty(3, device="meta")}, "must hold plain tensors, but '0.weight' is not"),
    ],
)
def test_no_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", message)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_another_network(tmp_path, name):
    save_checkpoint(tmp_path / name, LeNet5(), {})
    message = refused(tmp_path / name, "is of another network than Sequential")
    assert "lacks '0.weight' (3, 1, 3, 3) (the first of 8)" in message  # counters of batches are not asked for
    assert "has 'conv1." in message
    assert "which the network has not (the first of 10)" in message


def test_wrong_shapes(tmp_path, pruned):
    model, _ = pruned
    state = model.state_dict() | {"4.weight": torch.ones(4, 13), "4.bias": torch.ones(5)}
    torch.save(state, tmp_path / "a.pt")
    message = refused(tmp_path / "a.pt", "is of another network")
    assert "has '4.weight' of shape (4, 13) where the network has (4, 12)" in message


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e300])
@pytest.mark.parametrize("name", ["4.weight", "1.running_var"])
def test_values_that_are_not_finite(tmp_path, pruned, name, value):
    state = pruned[0].state_dict()
    state[name] = state[name].double()
    state[name].flatten()[0] = value  # 1e300 is not finite in float32
    torch.save(state, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", f"NaN or infinite values in '{name}'")


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_real_numbers(tmp_path, pruned, kind):
    torch.save(pruned[0].state_dict() | {"4.weight": torch.ones(4, 12, dtype=kind)}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", f"holds {kind} in '4.weight' where the network has torch.float32")


def test_a_counter_of_another_type_is_read_unless_it_is_complex(tmp_path, pruned):
    name = "1.num_batches_tracked"
    for kind, fine in [(torch.int32, True), (torch.float32, True), (torch.complex64, False)]:
        torch.save(pruned[0].state_dict() | {name: torch.ones((), dtype=kind)}, tmp_path / "a.pt")
        if fine:
            load_into(small(), tmp_path / "a.pt")
        else:
            refused(tmp_path / "a.pt", f"complex64 in '{name}'")


def test_a_weight_that_is_called_mask(tmp_path):
    saved, model = nn.Module(), nn.Module()
    saved.mask, model.mask = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    load_into(model, tmp_path / "a.pt")
    assert torch.equal(model.mask, saved.mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([1], "has a `mask` that is a list"),
        (torch.ones(3), "has a `mask` that is a Tensor"),
        (1, "has a `mask` that is a int"),
        ("", "has a `mask` that is a str"),
        ({"4.weight": torch.ones(3, 12)}, "mask of '4.weight' must have its weight's shape"),
        ({"9.weight": torch.ones(3, 12)}, "mask holds '9.weight', which"),
        ({"4.weight": torch.full((4, 12), 0.3)}, "mask of '4.weight' must hold only 0 and 1"),
        ({"4.weight": 1}, "mask of '4.weight' must be a tensor"),
    ],
)
def test_a_mask_that_does_not_fit_changes_nothing(tmp_path, pruned, mask, message):
    torch.save({"state_dict": pruned[0].state_dict(), "mask": mask}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", message)


def test_any_zip_archive_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "a.pt", "damaged or no PyTorch checkpoint")


def test_an_unreadable_file(tmp_path, pruned, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", *pruned)

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", deny)
    refused(tmp_path / "a.pt", "Permission denied")


def test_saving_replaces_atomically(tmp_path, pruned, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, *pruned)
    before = path.read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, small(5), {})
    assert path.read_bytes() == before
    assert set(load_file(path)) == set(small().state_dict())
    assert list(tmp_path.iterdir()) == [path]
