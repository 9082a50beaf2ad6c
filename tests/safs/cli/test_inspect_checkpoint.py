"""What `safs inspect` says about a checkpoint, its mask and where that comes from."""

import json

import pytest
import torch

from safs.checkpoints import save_checkpoint
from safs.masks import SMALLEST_ZERO_SHARE
from safs.models.registry import make_model


@pytest.fixture
def files(tmp_path):
    """A dense checkpoint, and a mask of it that empties its second layer."""
    model = make_model("lenet5", seed=0)
    save_checkpoint(tmp_path / "dense.pt", model, {})
    mask = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.ndim > 1}
    mask["conv2.weight"][:] = False
    torch.save(mask, tmp_path / "mask.pt")
    return tmp_path / "dense.pt", tmp_path / "mask.pt"


def inspect(call_safs, *arguments):
    code, out, err = call_safs("inspect", "lenet5", *arguments, "-o", "json")
    assert code == 0, err
    return json.loads(out), err


def test_a_mask_file_and_a_layer_that_it_empties(files, call_safs):
    described, err = inspect(call_safs, "--checkpoint", files[0], "--mask", files[1])
    assert described["checkpoint"]["mask_from"] == "file"
    assert next(layer for layer in described["mask"]["layers"] if layer["name"] == "conv2")["nonzero"] == 0
    assert err.count("The mask prunes layer conv2 whole: the signal is cut there.") == 1
    assert "Layer conv2 has no output" not in err


def test_a_layer_that_is_pruned_whole_is_a_warning_without_an_input_shape_too(files, call_safs):
    flags = ["--checkpoint", files[0], "--mask", files[1]]
    code, _, err = call_safs("inspect", "safs.models.lenet:LeNet5", *flags)
    assert code == 0
    assert err.splitlines() == ["Warning: The mask prunes layer conv2 whole: the signal is cut there."]


@pytest.mark.parametrize(("share", "origin"), [("0", "inferred"), ("0.05", None), ("1", None)])
def test_the_smallest_share_of_zeros_can_be_set_and_is_reported(files, call_safs, share, origin):
    described, _ = inspect(call_safs, "--checkpoint", files[0], "--min-zero-share", share)
    assert described["checkpoint"]["mask_from"] == origin
    assert described["checkpoint"]["min_zero_share"] == float(share)
    assert described["checkpoint"]["zero_share"] == 0
    assert (described["mask"] is None) == (origin is None)


def test_the_commands_default_share_is_that_of_the_library(files, call_safs):
    assert inspect(call_safs, "--checkpoint", files[0])[0]["checkpoint"]["min_zero_share"] == SMALLEST_ZERO_SHARE


def test_the_tables_say_where_weights_and_mask_come_from(files, tmp_path, call_safs):
    code, out, _ = call_safs("inspect", "lenet5", "--checkpoint", files[0])
    assert code == 0
    assert "0.00% of its weights are zero; from 1.00% on they count as pruned" in " ".join(out.split())
    state = torch.load(files[0])["state_dict"]
    torch.save({"state_dict": state, "state_dict_ema": state, "mask": torch.load(files[1])}, tmp_path / "a.pt")
    code, out, _ = call_safs("inspect", "lenet5", "--checkpoint", tmp_path / "a.pt")
    assert "The mask is the checkpoint's own" in out
    assert "Weights read from state_dict, not from state_dict_ema." in out


def test_a_mask_without_a_checkpoint_is_refused(files, refused):
    assert "give --checkpoint, too" in refused("inspect", "lenet5", "--mask", files[1])


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
def test_a_share_is_between_0_and_1(files, refused, share):
    flags = ["inspect", "lenet5", "--checkpoint", files[0], "--min-zero-share", share]
    assert f"share of zeros that counts as pruned must lie in [0, 1], but got {share}" in refused(*flags)


def test_a_checkpoint_with_some_zeros_can_be_pruned_as_a_dense_one(tmp_path, call_safs, refused):
    model = make_model("lenet5", seed=0)
    with torch.no_grad():
        model.conv2.weight.flatten()[:1000] = 0.0
    save_checkpoint(tmp_path / "dense.pt", model, {})
    flags = ["lenet5", "--checkpoint", tmp_path / "dense.pt", "--ratio", "0.5", "--out", tmp_path / "out.pt"]
    assert "or raise --min-zero-share" in refused("prune", *flags)
    assert call_safs("prune", *flags, "--min-zero-share", "0.05")[0] == 0
