"""What a config holds, and how it is written out."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from safs.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    PruneConfig,
    ReportConfig,
    ResourcesConfig,
    Stage1Config,
    Stage2Config,
)
from safs.engines.base import Engine
from safs.engines.registry import ENGINES, find_engine
from safs.protocol import Protocol
from spaces.errors import SafsError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("configs/*.yaml"), ROOT / "safs" / "demo.yaml"]), ids=lambda p: p.name
)
def test_every_config_that_ships_is_valid_and_opens_with_its_launch_command(path):
    Config.from_yaml(path)
    assert path.read_text(encoding="utf-8").startswith("# Launch: safs ")


def test_a_config_comes_back_from_the_yaml_that_it_writes(read, tmp_path):
    changes = {
        "seed": 5,
        "model": {"kwargs": {"num_classes": 10}},
        "train": {"lr": 1e-5, "weight_decay": 1e-10, "optimizer": "sgd", "momentum": 1 / 3},
        "prune": {"ratio": 0.98765432109876},
        "stage1": {"options": {"history": 7}, "start": "random", "fitness": "validation_loss"},
        "stage2": {"epochs": None, "scales": "channel"},
        "data": {"name": "digits", "root": "dätä/with space"},
    }
    config = read(**changes)
    path = tmp_path / "again.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    again = Config.from_yaml(path)
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert again.train.momentum == 1 / 3


def test_every_default_is_written_out(read):
    values = yaml.safe_load(read().to_yaml())
    assert values["schema"] == 1
    assert values["stage1"]["options"] == {}
    assert values["model"] == {
        "name": "lenet5",
        "kwargs": {},
        "checkpoint": None,
        "mask": None,
        "min_zero_share": 0.01,
        "trust_pickle": False,
        "pretrain": Protocol(epochs=1, batch_size=128, lr=0.005).to_json(),
    }


def test_every_field_is_read_by_something():
    """A field that nothing reads is a promise that is not kept."""
    modules = [path for path in (ROOT / "safs").rglob("*.py") if path.parent.name != "config"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    places = {
        "model": ModelConfig,
        "data": DataConfig,
        "prune": PruneConfig,
        "stage1": Stage1Config,
        "stage2": Stage2Config,
        "resources": ResourcesConfig,
        "report": ReportConfig,
    }
    unread = [
        f"{place}.{name}"
        for place, section in places.items()
        for name in section.model_fields
        if not re.search(rf"\b{place}\.{name}\b", code)
    ]
    unread += [
        f"protocol.{field.name}"
        for field in dataclasses.fields(Protocol)
        if not re.search(rf"protocol\.{field.name}\b", code)
    ]
    unread += [name for name in Config.model_fields if name != "schema_version" and f"config.{name}" not in code]
    assert unread == []


def test_weights_come_from_a_checkpoint_or_from_a_training(tiny_values):
    for model in ({"name": "lenet5"}, {**tiny_values()["model"], "checkpoint": "x.pt"}):
        with pytest.raises(SafsError, match=r"`checkpoint`.*or `pretrain`"):
            Config.from_mapping(tiny_values() | {"model": model})


@pytest.mark.parametrize("missing", [True, False])
def test_a_network_trained_here_must_be_pruned_here(missing, tiny_values):
    values = tiny_values() | {"prune": None}
    if missing:
        del values["prune"]
    with pytest.raises(SafsError, match=r"^The config: a network .* must be pruned too; set `prune.ratio`"):
        Config.from_mapping(values)


def test_every_engine_that_a_config_may_name_is_one():
    assert "inline" in ENGINES
    for name in ENGINES:
        assert issubclass(find_engine(name), Engine)
        assert ResourcesConfig(engine=name).engine == name


def test_flags_are_still_true_or_false(tiny_values):
    values = tiny_values(model={"trust_pickle": True, "kwargs": {"bias": True}})
    model = Config.from_mapping(values).model
    assert (model.trust_pickle, model.kwargs) == (True, {"bias": True})
