"""Small studies, and what they come to undisturbed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from safs.config.schema import Config
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.study import Study

SMALLEST = {
    "model": {"name": "lenet5", "pretrain": {"epochs": 1, "batch_size": 128, "lr": 0.005}},
    "data": "digits",
    "prune": {"ratio": 0.9, "scope": "global"},
    "train": {"epochs": 1, "batch_size": 256, "lr": 0.02},
    "stage1": {"searcher": "lahc", "iterations": 1, "finalists": 1, "epochs": 1, "operators": ["relu", "srs"]},
    "stage2": {"trials": 1, "folds": 2, "epochs": 1},
    "report": {"seeds": 1},
}
"""The smallest study that has all of its parts."""


@dataclass
class Kind:
    """A sort of study: its config, the checkpoint that is sent with it, the run directory of an undisturbed run."""

    config: str
    checkpoint: bytes | None
    undisturbed: Path


def kinds(folder: Path) -> list[Kind]:
    """Return two sorts of study, each run undisturbed in this process: one sends a checkpoint, one trains."""
    from safetensors.torch import save

    model = make_model("lenet5", {}, seed=0)
    apply_mask(model, prune(model, 0.9))
    checkpoint = save(model.state_dict())
    (folder / "pruned.safetensors").write_bytes(checkpoint)
    sending = {name: value for name, value in SMALLEST.items() if name != "prune"} | {"model": {"name": "lenet5"}}
    local = sending | {"model": {"name": "lenet5", "checkpoint": str(folder / "pruned.safetensors")}}
    for name, values in (("trains", SMALLEST), ("sends", local)):
        Study(Config.from_mapping(values), folder / name).run()
    return [
        Kind(yaml.safe_dump(sending), checkpoint, folder / "sends"),
        Kind(yaml.safe_dump(SMALLEST), None, folder / "trains"),
    ]
