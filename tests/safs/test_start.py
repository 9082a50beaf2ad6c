"""A study from a checkpoint: the whole pipeline on networks and files that others made."""

import builtins
import hashlib
import io
import json
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrize, prune

import safs.study
from safs.checkpoints import save_checkpoint
from safs.config.schema import Config
from safs.masks import violations
from safs.models.registry import make_model
from safs.pipeline.start import read_start
from safs.study import Study
from spaces.errors import SafsError


class Masked(nn.Module):
    def __init__(self, kept):
        super().__init__()
        self.register_buffer("mask", kept)

    def forward(self, weight):
        return weight * self.mask


def narrow(channels=(6, 16), hidden=20):
    """A network whose channels and neurons are arguments, as those that were pruned by structure have to be."""
    return nn.Sequential(
        nn.Conv2d(1, channels[0], 5, stride=2), nn.ReLU(), nn.Conv2d(channels[0], channels[1], 5, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(channels[1] * 16, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


def parametrized():
    model = narrow((2, 3), 5)
    parametrize.register_parametrization(model[5], "weight", Masked(torch.ones(5, 48, dtype=torch.bool)))
    return model


def self_pruning():
    model = narrow((2, 3), 5)
    prune.l1_unstructured(model[5], "weight", amount=0.9)
    return model


@pytest.fixture
def module(monkeypatch):
    """These factories as a module that a config can name."""
    made = types.ModuleType("somebodys_networks")
    made.narrow, made.parametrized, made.self_pruning = narrow, parametrized, self_pruning
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


@pytest.fixture
def study(few, tiny_values, tmp_path, monkeypatch):
    """Runs a small study of a model section; returns its summary, its problem record and its folder."""
    monkeypatch.setattr(safs.study, "write_report", lambda folder: None)

    def run(resume=False, **model):
        folder = tmp_path / "run"
        values = tiny_values(prune=None, data="few", stage2={"trials": 1}, report={"seeds": 1})
        values["model"] = model
        summary = Study(Config.from_mapping(values), folder).run(resume=resume)
        records = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
        return summary, next(record for record in records if record["kind"] == "problem"), folder

    return run


def check_masks_held(folder, sparsity):
    weights, mask = load_file(folder / "best/model.safetensors"), load_file(folder / "best/mask.safetensors")
    assert violations(weights, mask) == []
    masked = sum(int((~kept).sum()) for kept in mask.values())
    assert masked / sum(kept.numel() for kept in mask.values()) == pytest.approx(sparsity, abs=0.01)


def test_a_network_that_was_pruned_by_structure(study, module, tmp_path):
    kwargs = {"channels": [2, 3], "hidden": 5}
    saved = make_model(f"{module}:narrow", kwargs, seed=1)
    torch.save({"state_dict": nn.DataParallel(saved).state_dict()}, tmp_path / "a.pt")
    model = {"name": f"{module}:narrow", "kwargs": kwargs, "checkpoint": str(tmp_path / "a.pt")}
    with pytest.raises(
        SafsError, match=r"is dense \(0.00% of its weights .*`model.min_zero_share: 0` if it is pruned by str"
    ):
        study(**model)
    with pytest.raises(SafsError, match=r"has '0.weight' of shape .* give the factory the arguments that build it so"):
        study(**model | {"kwargs": {}})
    summary, problem, folder = study(**model, min_zero_share=0)
    assert summary["rows"][0]["name"] == "pruned"
    assert problem["mask"]["sparsity"] == 0
    assert problem["checkpoint"]["mask_from"] == "inferred"
    check_masks_held(folder, 0.0)


@pytest.mark.parametrize("factory", ["parametrized", "self_pruning"])
def test_a_factory_whose_weights_are_computed(study, module, tmp_path, factory):
    saved = make_model(f"{module}:{factory}", seed=1)
    if factory == "parametrized":
        saved[5].parametrizations.weight[0].mask[:, 5:] = False
    torch.save(saved.state_dict(), tmp_path / "a.pt")
    summary, problem, folder = study(name=f"{module}:{factory}", checkpoint=str(tmp_path / "a.pt"))
    assert problem["checkpoint"]["mask_from"] == "own"
    layers = {layer["name"]: layer for layer in problem["mask"]["layers"]}
    assert layers["5"]["nonzero"] == (25 if factory == "parametrized" else 24)
    assert layers["0"]["nonzero"] == layers["0"]["total"]
    assert set(load_file(folder / "best/model.safetensors")) == set(narrow((2, 3), 5).state_dict())
    assert [row["sparsity"] for row in summary["rows"]] == [pytest.approx(problem["mask"]["sparsity"])] * len(
        summary["rows"]
    )
    check_masks_held(folder, problem["mask"]["sparsity"])


def test_a_mask_file_and_that_it_is_part_of_what_the_study_read(study, tmp_path):
    saved = make_model("lenet5", seed=1)
    save_checkpoint(tmp_path / "a.safetensors", saved, {})
    generator = torch.Generator().manual_seed(0)
    mask = {name: torch.rand(p.shape, generator=generator) < 0.3 for name, p in saved.named_parameters() if p.ndim > 1}
    torch.save(mask, tmp_path / "mask.pt")
    model = {"name": "lenet5", "checkpoint": str(tmp_path / "a.safetensors"), "mask": str(tmp_path / "mask.pt")}
    _, problem, folder = study(**model)
    assert problem["checkpoint"]["mask_from"] == "file"
    check_masks_held(folder, 0.7)
    stored = load_file(folder / "best/mask.safetensors")
    assert all(torch.equal(stored[name], kept) for name, kept in mask.items())
    torch.save({name: ~kept for name, kept in mask.items()}, tmp_path / "mask.pt")
    with pytest.raises(SafsError, match="begun with mask"):
        study(resume=True, **model)


def test_a_mask_file_needs_a_checkpoint(tiny_values):
    values = tiny_values()
    values["model"]["mask"] = "mask.pt"
    with pytest.raises(SafsError, match="`mask` is a file with the mask of a checkpoint; give `checkpoint`, too"):
        Config.from_mapping(values)


def test_a_study_opens_its_checkpoint_once_and_knows_its_hash(study, tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    model = make_model("lenet5", seed=1)
    save_checkpoint(path, model, {name: p.detach() > 0 for name, p in model.named_parameters() if p.ndim > 1})
    opened = []

    def counting(original):
        def opens(file, *arguments, **options):
            opened.append(str(file))
            return original(file, *arguments, **options)

        return opens

    monkeypatch.setattr(io, "open", counting(io.open))
    monkeypatch.setattr(builtins, "open", counting(builtins.open))
    _, _, folder = study(name="lenet5", checkpoint=str(path))
    assert opened.count(str(path)) == 1
    inputs = json.loads((Path(folder) / "journal.jsonl").read_text().splitlines()[0])
    assert inputs["checkpoint"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_network_that_is_trained_here_reads_no_checkpoint(tiny_values):
    assert read_start(Config.from_mapping(tiny_values())) is None
