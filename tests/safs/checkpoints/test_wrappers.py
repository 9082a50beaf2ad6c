import argparse
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from safs.checkpoints import load, load_into, read_checkpoint

WRAPPERS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer": {"state": {}}},
    "model": lambda s: {"epoch": 1, "model": s},
    "net": lambda s: {"net": s, "acc": 93.1},
    "ema": lambda s: {"state_dict_ema": s, "epoch": 3},
    "both": lambda s: {"state_dict_ema": {name: 2 * value for name, value in s.items()}, "state_dict": s},
    "twice": lambda s: {"model": {"state_dict": s}},
    "name of the network": lambda s: {"model": "resnet18", "state_dict": s},
    "settings": lambda s: {"model": {"depth": 18}, "net": s},
    "ordered": lambda s: {"state_dict": OrderedDict(s)},
}
PREFIXES = ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_and_prefixes(tmp_path, pruned, loads, wrapper, prefix, legacy):
    model, mask = pruned
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    torch.save(WRAPPERS[wrapper](state), tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_prefixes_of_some_names_within_names_and_of_several_kinds(tmp_path, pruned, loads):
    model, mask = pruned
    renamed = {"0.weight": "module.0.weight", "0.bias": "0._orig_mod.bias", "4.weight": "_orig_mod.4.module.weight"}
    state = {renamed.get(name, name): tensor for name, tensor in model.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_prefixes_in_safetensors_and_in_masks(tmp_path, pruned, loads):
    model, mask = pruned
    save_file({f"module.{k}": v for k, v in model.state_dict().items()}, tmp_path / "a.safetensors")
    loads(tmp_path / "a.safetensors", model.state_dict(), mask)
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state, "mask": {f"module.{k}": v.float() for k, v in mask.items()}}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_network_whose_own_names_begin_like_a_wrappers(tmp_path, small, prefix):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = small()

    saved, model = Own(), Own()
    nn.init.ones_(saved.module[4].weight)
    torch.save({prefix + name: tensor for name, tensor in saved.state_dict().items()}, tmp_path / "a.pt")
    load_into(model, tmp_path / "a.pt")
    assert (model.module[4].weight == 1).all()


def test_two_names_of_one_tensor_are_refused(tmp_path, pruned, rejects):
    state = pruned[0].state_dict()
    torch.save(state | {"module.4.bias": state["4.bias"]}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", "holds both '4.bias' and 'module.4.bias', which are one tensor of the network")


def test_the_first_of_several_wrappers_wins_and_the_others_are_reported(tmp_path, small):
    state = {name: torch.ones_like(tensor) for name, tensor in small().state_dict().items()}
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    order = ["state_dict", "model_state_dict", "model", "net", "state_dict_ema"]
    for first in range(len(order)):
        torch.save(dict.fromkeys(reversed(order[first + 1 :]), other) | {order[first]: state}, tmp_path / "a.pt")
        model = small(3)
        loaded = load(model, read_checkpoint(tmp_path / "a.pt"))
        assert (model[4].weight == 1).all()
        assert loaded.wrappers == (order[first],)
        assert loaded.left == tuple(order[first + 1 :])
    torch.save({"model": {"state_dict": state, "net": other}, "state_dict_ema": other}, tmp_path / "a.pt")
    described = load(small(), read_checkpoint(tmp_path / "a.pt")).describe()
    assert described["weights_from"] == "model.state_dict"
    assert described["not_read"] == ["state_dict_ema", "model.net"]


def test_what_else_checkpoints_hold_does_no_harm(tmp_path, pruned, loads):
    model, mask = pruned
    content = {
        "state_dict": model.state_dict(), "args": argparse.Namespace(lr=0.1, betas=(0.9,)), "best": np.float64(0.9),
        "epoch": np.int64(3), "loss": np.float32(0.1), "amp": np.float16(2), "done": np.bool_(True), "mask": None,
        "history": [1.0, 2.0], "size": torch.Size([2, 3]), "device": torch.device("cpu"), "type": torch.bfloat16,
        "day": np.int16(-3), "wave": np.complex64(1j), "counts": Counter("abca"),
        "rng": torch.get_rng_state(), "bytes": b"123", "names": {"a", "b"}, "parameter": nn.Parameter(torch.ones(2)),
        "complex": 1j, "kept": torch.ones(4, dtype=torch.float8_e4m3fn), "sparse": torch.eye(3).to_sparse(),
    }  # fmt: skip
    for legacy in (False, True):
        if legacy:
            del content["kept"]  # a type younger than that format
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
        loads(tmp_path / "a.pt", model.state_dict(), mask)


def test_a_parameter_with_attributes_and_a_view(tmp_path, pruned, loads):
    model, mask = pruned
    state = model.state_dict()
    parameter = nn.Parameter(state["4.weight"].clone())
    parameter.note = "mine"
    wide = torch.zeros(8)
    wide[2:6] = state["4.bias"]
    transposed = state["0.weight"].transpose(2, 3).contiguous().transpose(2, 3)
    torch.save(state | {"4.weight": parameter, "4.bias": wide[2:6], "0.weight": transposed}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", state, mask)


def test_counters_of_batches_may_be_missing(tmp_path, pruned, loads):
    model, mask = pruned
    state = {name: tensor for name, tensor in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), mask)


def endless():
    content = {}
    content["model"] = content["state_dict"] = content
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "must hold a state dict, but holds a list"),
        (torch.ones(2), "must hold a state dict, but holds a Tensor"),
        (3, "must hold a state dict, but holds a int"),
        ({}, "holds no tensor"),
        ({"epoch": 3, "state_dict": {"lr": 0.1}}, "holds no tensor; its keys: 'epoch', 'state_dict'"),
        ({"weights": {"a": torch.ones(2)}, 3: 4}, "holds no tensor; its keys: 'weights', 3"),
        ({f"key{i}": i for i in range(20)}, r"its keys: 'key0', .*'key7'\.$"),
        ({3: torch.ones(2)}, r"holds no tensor; its keys: 3\.$"),
        (endless(), "holds no tensor; its keys: 'model', 'state_dict'"),
        ({"0.weight": torch.eye(3).to_sparse()}, "must hold plain tensors, but '0.weight' is sparse"),
        (lambda: {"0.weight": torch.eye(3).to_sparse_csr()}, "must hold plain tensors, but '0.weight' is sparse"),
        ({"0.weight": torch.empty(3, device="meta")}, r"must hold plain tensors, but '0.weight' is without values"),
        (lambda: {"0.weight": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)}, "'0.weight' is quantized"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_no_state_dict(tmp_path, rejects, content, message):
    torch.save(content() if callable(content) else content, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", message)


def test_a_weight_that_is_called_mask(tmp_path):
    saved, model = nn.Module(), nn.Module()
    saved.mask, model.mask = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    load_into(model, tmp_path / "a.pt")
    assert torch.equal(model.mask, saved.mask)
