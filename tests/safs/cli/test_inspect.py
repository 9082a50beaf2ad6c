import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from safs.checkpoints import save_checkpoint
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune


@pytest.fixture
def pruned(tmp_path):
    model = make_model("lenet5", seed=0)
    mask = prune(model, 0.99)
    apply_mask(model, mask)
    save_checkpoint(tmp_path / "pruned.pt", model, mask)
    return tmp_path / "pruned.pt"


def test_json_has_the_schema_and_nothing_else_is_on_stdout(pruned, call_safs):
    code, out, err = call_safs("inspect", "lenet5", "--checkpoint", pruned, "-o", "json")
    assert code == 0
    described = json.loads(out)
    assert described["model"] == "lenet5"
    assert described["traced"] in ("fx", "leaves")
    assert [site["name"] for site in described["sites"]] == ["relu1", "relu2", "relu3", "relu4"]
    assert described["sites"][0] == {"name": "relu1", "operator": "relu", "shape": [6, 24, 24]}
    assert described["gates"] == []
    mask = described["mask"]
    assert (mask["nonzero"], mask["total"]) == (444, 44_190)
    assert mask["sparsity"] == pytest.approx(1 - 444 / 44_190)
    assert [layer["nonzero"] for layer in mask["layers"]] == [2, 24, 308, 101, 9]
    assert mask["connected_logits"] < mask["logits"] == 10
    assert err.startswith("Warning: ")
    assert all(line.startswith("Warning: ") for line in err.splitlines())


def test_json_of_a_dense_network_has_no_mask(call_safs):
    code, out, err = call_safs("inspect", "resnet20-cifar", "-o", "json")
    assert (code, err) == (0, "")
    described = json.loads(out)
    assert described["mask"] is None
    assert len(described["sites"]) == 19
    assert all(site["operator"] == "relu" and len(site["shape"]) == 3 for site in described["sites"])


@pytest.fixture
def branching(tmp_path, monkeypatch):
    """A user's network that torch.fx cannot trace."""
    source = """
from torch import nn
import torch
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU()
    def forward(self, x):
        x = self.act(self.fc(x)) if len(x) else x
        return torch.tanh(self.act(self.fc(x)))
def build(): return nn.Sequential(Block(), nn.GELU(), nn.Linear(4, 2))
"""
    (tmp_path / "user_branching.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield "user_branching:build"
    sys.modules.pop("user_branching", None)


def test_what_cannot_be_traced_is_said(branching, call_safs):
    code, out, err = call_safs("inspect", branching, "--input", "4", "-o", "json")
    assert code == 0
    described = json.loads(out)
    assert described["traced"] == "leaves"
    assert [site["name"] for site in described["sites"]] == ["0.act#1", "0.act#2", "1"]
    assert described["sites"][0]["shape"] == [4]
    assert [kept["name"] for kept in described["kept"]] == ["0"]
    assert described["fixed"] == [{"name": "0.tanh", "operator": "tanh", "reason": "it is a function"}]
    first, second = err.splitlines()
    assert first.startswith("Warning: torch.fx does not trace 1 module (0: its forward pass")
    assert second == "Warning: 1 activation call cannot be replaced (0.tanh: it is a function)."


def test_the_way_taken_is_in_the_table(branching, call_safs):
    assert "kept whole" in call_safs("inspect", branching)[1]
    assert "Traced by torch.fx." in call_safs("inspect", "lenet5")[1]


def test_a_network_that_does_not_take_the_input_is_one_line(branching, refused):
    assert "does not take input of shape (5,)" in refused("inspect", branching, "--input", "5")


def test_the_table_from_another_process_and_folder(pruned, run_safs, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    code, out, err = run_safs("inspect", "lenet5", "--checkpoint", pruned, cwd=away)
    assert code == 0, err
    assert "4 activation sites" in out
    assert "444 of 44,190 weights, sparsity 99.00 %" in out
    assert "Warning" in err
    assert "Warning" not in out
    assert list(away.iterdir()) == []


class Malicious:
    def __reduce__(self):
        return print, ("run!",)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no checkpoint"), (b"", "empty"), (b"PK\x03\x04 torn", "damaged"), ("folder", "folder")],
)
def test_a_file_that_is_no_checkpoint_is_one_line(content, message, tmp_path, refused):
    path = tmp_path / "x.pt"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert message in refused("inspect", "lenet5", "--checkpoint", path)


def test_code_in_a_checkpoint_is_not_run(tmp_path, refused, capsys):
    torch.save({"state_dict": Malicious()}, tmp_path / "x.pt")
    assert "--trust-pickle" in refused("inspect", "lenet5", "--checkpoint", tmp_path / "x.pt")


def test_a_checkpoint_of_another_network_is_one_line(pruned, refused):
    message = refused("inspect", "resnet20-cifar", "--checkpoint", pruned)
    assert "lacks" in message
    assert "conv1.weight" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet6"], "Did you mean 'lenet5'"),
        (["torchvision/resnet19"], "Did you mean 'resnet1"),
        (["no.such:thing"], "cannot import"),
        (["lenet5", "--input", "1,x"], "--input takes"),
        (["lenet5", "--input", "0,3"], "--input takes"),
        (["lenet5", "--kwarg", "classes"], "--kwarg takes"),
        (["lenet5", "--kwarg", "classes=3"], "could not be built"),
        (["lenet5", "--kwarg", "seed=3"], "could not be built"),
        (["lenet5", "--kwarg", "name=3"], "could not be built"),
        (["lenet5", "--kwarg", "a=2020-13-45"], "--kwarg a is not valid YAML"),
        (["lenet5", "--kwarg", "a=" + "[" * 5000], "--kwarg a is not valid YAML"),
        (["lenet5", "--kwarg", "a={x: 1, x: 2}"], "'x' stands there twice"),
        (["resnet18"], "Did you mean 'torchvision/resnet18'"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, refused):
    assert message in refused("inspect", *arguments)


def test_safetensors_are_read(pruned, tmp_path, call_safs):
    state = torch.load(pruned)["state_dict"]
    model = make_model("lenet5", seed=0)
    model.load_state_dict(state)
    save_checkpoint(tmp_path / "x.safetensors", model, {})
    assert load_file(tmp_path / "x.safetensors").keys() == state.keys()
    _, out, _ = call_safs("inspect", "lenet5", "--checkpoint", tmp_path / "x.safetensors", "-o", "json")
    assert json.loads(out)["mask"]["nonzero"] == 444
