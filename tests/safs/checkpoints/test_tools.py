"""Files by the tools that write them."""

import argparse

import pytest
import torch
from safetensors.torch import save_model
from torch import nn
from torch.nn.utils import prune

from safs.checkpoints import load, read_checkpoint
from safs.masks import apply_mask


def step(model):
    """Return an optimiser with a state of the same shapes as the weights."""
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel])
def test_timms_checkpoint_saver(tmp_path, small, pruned, loads, ema, wrap):
    utils = pytest.importorskip("timm.utils", reason="timm is an optional extra")
    model, mask = pruned
    optimizer = step(model)
    apply_mask(model, mask)
    average = utils.ModelEmaV2(small(2)) if ema else None
    args = argparse.Namespace(model="small", lr=0.1, mean=(0.5, 0.5), amp=None)
    saver = utils.CheckpointSaver(wrap(model), optimizer, args=args, model_ema=average, checkpoint_dir=str(tmp_path),
                                  recovery_dir=str(tmp_path), amp_scaler=utils.NativeScaler())  # fmt: skip
    saver.save_checkpoint(3, metric=0.7)
    path = tmp_path / "last.pth.tar"
    loads(path, model.state_dict(), mask)
    loaded = load(small(), read_checkpoint(path))
    assert loaded.wrappers == ("state_dict",)
    assert loaded.left == (("state_dict_ema",) if ema else ())


def test_a_compiled_network(tmp_path, pruned, loads):
    model, mask = pruned
    compiled = torch.compile(model, backend="eager")
    assert all(name.startswith("_orig_mod.") for name in compiled.state_dict())
    torch.save(
        {"model": compiled.state_dict(), "optimizer": torch.optim.SGD(model.parameters()).state_dict()},
        tmp_path / "a.pt",
    )
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_a_network_of_which_parts_are_wrapped(tmp_path, small):
    """As torchvision's reference once trained VGG: only the features in parallel; and compiled block by block."""

    def build(seed):
        model = nn.Module()
        model.features, model.classifier = small(seed)[:4], small(seed)[4]
        return model

    saved, model = build(1), build(2)
    plain = {name: tensor.clone() for name, tensor in saved.state_dict().items()}
    saved.features = nn.DataParallel(saved.features)
    saved.classifier = torch.compile(saved.classifier, backend="eager")
    assert {"features.module.0.weight", "classifier._orig_mod.weight"} <= set(saved.state_dict())
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    load(model, read_checkpoint(tmp_path / "a.pt"))
    assert all(torch.equal(tensor, plain[name]) for name, tensor in model.state_dict().items())


def test_safetensors_of_a_whole_network(tmp_path, pruned, loads):
    model, mask = pruned
    save_model(model, str(tmp_path / "a.safetensors"), metadata={"format": "pt"})
    loads(tmp_path / "a.safetensors", model.state_dict(), mask)


@pytest.mark.parametrize("checksum", [False, True])
def test_archives_without_checksums(tmp_path, pruned, loads, checksum):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(checksum)
    try:
        torch.save(pruned[0].state_dict(), tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    loads(tmp_path / "a.pt", pruned[0].state_dict(), pruned[1])


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("still_hooked", [False, True])
def test_a_whole_network_needs_trust(tmp_path, pruned, loads, rejects, wrapped, still_hooked):
    model, mask = pruned
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if still_hooked:
        prune.custom_from_mask(model[0], "weight", mask["0.weight"])
        prune.custom_from_mask(model[4], "weight", mask["4.weight"])
    torch.save({"model": model} if wrapped else model, tmp_path / "a.pt")
    rejects(
        tmp_path / "a.pt", r"contains pickled code \('torch\.nn\.modules\.container\.Sequential'\), which is not run"
    )
    loads(tmp_path / "a.pt", state, mask, trust_pickle=True)


def test_a_torchscript_archive_is_refused(tmp_path, pruned, rejects):
    torch.jit.save(torch.jit.trace(pruned[0].eval(), torch.ones(1, 1, 4, 4)), str(tmp_path / "a.pt"))
    for trust in (False, True):
        rejects(tmp_path / "a.pt", "is a TorchScript archive, whose code is not run", trust_pickle=trust)
