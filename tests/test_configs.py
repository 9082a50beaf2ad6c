"""The paper's experiments: what their configs say, that each dry-runs, and that each runs whole at a small scale."""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from safs import step_time
from safs.cli.app import app
from safs.config.schema import Config
from safs.study import Study
from spaces.operators import PAPER_OPERATORS

ROOT = Path(__file__).parents[1]
CONFIGS = {path.stem: path for path in sorted((ROOT / "configs").glob("*.yaml"))}
TRAIN, TEST = 32, 10
"""Images of the small data sets."""

PROTOCOLS = {
    "lenet5-mnist": {"lr": 0.1, "schedule": "constant"},
    "vgg16-cifar10": {"lr": 0.001, "schedule": "halving", "momentum": 0.9, "weight_decay": 5e-4},
    "resnet18-cifar10": {
        "lr": 0.01, "schedule": "reduce_on_plateau", "momentum": 0.9, "weight_decay": 5e-4,
    },
    "resnet18-imagenet16": {
        "lr": 0.1, "schedule": "cosine_restarts", "restart_period": 12, "momentum": 0.9,
        "weight_decay": 5e-4,
    },
    "efficientnet-b0-imagenet16": {
        "lr": 0.01, "schedule": "cosine_restarts", "restart_period": 12, "momentum": 0.9,
        "weight_decay": 5e-4,
    },
}  # fmt: skip
"""Tables 5 to 7 of the paper, all SGD."""
EPOCHS = {
    "lenet5-mnist": (100, 8),  # fine-tuned for 8 instead of 100
    "vgg16-cifar10": (200, 200),
    "resnet18-cifar10": (200, 200),
    "resnet18-imagenet16": (50, 50),
    "efficientnet-b0-imagenet16": (50, 50),
}
"""Of training the dense network and of fine-tuning the pruned one."""
SITES = {
    "lenet5-mnist": 4,
    "vgg16-cifar10": 15,
    "resnet18-cifar10": 17,
    "resnet18-imagenet16": 17,
    "efficientnet-b0-imagenet16": 49,
}
every_config = pytest.mark.parametrize("name", CONFIGS)


def test_the_configs_are_the_papers_five_experiments() -> None:
    assert CONFIGS.keys() == PROTOCOLS.keys() == SITES.keys()


@every_config
def test_a_config_opens_with_its_launch_command(name: str) -> None:
    first, *rest = CONFIGS[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith(f"# Launch: safs run configs/{name}.yaml  ")
    assert rest[0] == f"# What it would take: safs run configs/{name}.yaml --dry-run"


@every_config
def test_the_protocols_are_those_of_the_paper(name: str) -> None:
    config = Config.from_yaml(CONFIGS[name])
    for protocol in (config.model.pretrain, config.train):
        assert protocol is not None
        assert protocol.optimizer == "sgd"
        assert {key: protocol.to_json()[key] for key in PROTOCOLS[name]} == PROTOCOLS[name]
    assert config.model.pretrain is not None
    assert (config.model.pretrain.epochs, config.train.epochs) == EPOCHS[name]
    assert config.prune is not None
    assert (config.prune.ratio, config.prune.method, config.prune.scope) == (0.99, "magnitude", "layer")
    stage1 = config.stage1
    assert (stage1.searcher, stage1.options, stage1.iterations) == ("lahc", {"history": 3}, 20)
    assert (stage1.fitness, stage1.operators) == ("train_loss", PAPER_OPERATORS)
    assert stage1.epochs == (3 if name == "lenet5-mnist" else 80)
    assert config.stage2.folds == 3


@every_config
def test_the_settings_that_a_header_names_are_valid(name: str) -> None:
    """Where a config deviates from the paper, its header names the --set that goes back."""
    header = [line for line in CONFIGS[name].read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    settings = re.findall(r"--set (\S+)", " ".join(header))
    config = Config.from_yaml(CONFIGS[name], settings)
    assert (config.stage1.start, config.stage1.finalists, config.stage1.epochs) == ("random", 1, 80)
    assert config.model.pretrain is not None
    assert config.train.epochs == config.model.pretrain.epochs == (48 if "imagenet" in name else EPOCHS[name][0])
    assert config.stage2.epochs is None


@every_config
def test_a_config_survives_being_written_and_read(name: str, tmp_path: Path) -> None:
    config = Config.from_yaml(CONFIGS[name])
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert Config.from_yaml(tmp_path / "config.yaml") == config


def make_mnist(root: Path) -> None:
    """Noise in MNIST's format."""
    rng = np.random.default_rng(0)
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, size=count * 28 * 28, dtype=np.uint8)
        labels = rng.integers(0, 10, size=count, dtype=np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())


def make_cifar10(root: Path) -> None:
    """Noise in the format of CIFAR-10's Parquet files: PNG images and labels."""
    import pyarrow
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    folder = root / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    for split, count in (("train", TRAIN), ("test", TEST)):
        images = []
        for pixels in rng.integers(0, 256, size=(count, 32, 32, 3), dtype=np.uint8):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            images.append({"bytes": file.getvalue(), "path": f"{split}.png"})
        table = pyarrow.table({"img": images, "label": rng.integers(0, 10, size=count)})
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")


def make_imagenet16(root: Path) -> None:
    """Noise in the published format: ten pickled batches, and the validation set."""
    rng = np.random.default_rng(0)
    (root / "imagenet16").mkdir()
    counts = {f"train_data_batch_{k}": TRAIN // 10 + (k <= TRAIN % 10) for k in range(1, 11)}
    for file, count in {**counts, "val_data": TEST}.items():
        batch = {
            "data": rng.integers(0, 256, size=(count, 3 * 16 * 16), dtype=np.uint8),
            "labels": [int(label) for label in rng.integers(1, 1001, size=count)],
            "mean": rng.random(3 * 16 * 16) * 255,
        }
        (root / "imagenet16" / file).write_bytes(pickle.dumps(batch, protocol=4))


MAKERS: dict[str, Callable[[Path], None]] = {
    "mnist": make_mnist,
    "cifar10": make_cifar10,
    "imagenet16": make_imagenet16,
}


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a data folder that holds a few images of a data set."""
    made: dict[str, Path] = {}

    def make(data: str) -> Path:
        if data not in made:
            root = tmp_path_factory.mktemp(data)
            MAKERS[data](root)
            made[data] = root
        return made[data]

    return make


def small_settings(name: str, root: Path) -> list[str]:
    """Return the settings that make a study of a few seconds of the config `name`: two operators, an epoch a trial."""
    original = "swish" if name.startswith("efficientnet") else "relu"
    return [
        f"data.root={root}",
        "model.pretrain.epochs=1",
        "model.pretrain.batch_size=16",
        "train.epochs=1",
        "train.batch_size=16",
        f"stage1.operators=[{original}, srs]",
        "stage1.iterations=1",
        "stage1.epochs=1",
        "stage2.trials=1",
        "stage2.folds=2",
        "stage2.epochs=1",
        "resources.device=cpu",
        "resources.threads=1",
        "report.seeds=1",
    ]


def data_name(name: str) -> str:
    return Config.from_yaml(CONFIGS[name]).data.name


@every_config
def test_a_config_dry_runs(name: str, small_root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its full scale but for the images, the batch and the device that are measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(step_time, "ENOUGH", 0.0)
    settings = ["model.pretrain.batch_size=4", "train.batch_size=4", f"data.root={small_root(data_name(name))}"]
    settings += ["resources.device=cpu", "resources.threads=1"]
    flags = [flag for setting in settings for flag in ("--set", setting)]
    result = CliRunner().invoke(app, ["run", str(CONFIGS[name]), "--dry-run", "-o", "json", *flags])
    assert result.exit_code == 0, result.output
    planned, config = json.loads(result.stdout), Config.from_yaml(CONFIGS[name])
    assert len(planned["sites"]) == SITES[name]
    assert len(planned["gates"]) == (16 if name.startswith("efficientnet") else 0)
    assert planned["space"] == 13 ** SITES[name]
    counts = {phase["phase"]: (phase["trials"], phase["epochs"]) for phase in planned["phases"]}
    assert config.model.pretrain is not None
    search, train = config.stage1.epochs, config.train.epochs
    tuning = (30, 30 * (config.stage2.epochs or train))
    assert counts == {
        "dense": (1, config.model.pretrain.epochs),
        "uniform": (13, 13 * search),
        "stage1": (20, 20 * search),
        "finalists": (4, 4 * train),
        "safs": tuning,
        "stage2": tuning,
        "final": (16, 16 * train),
    }
    assert all(phase["seconds"] > 0 and math.isfinite(phase["seconds"]) for phase in planned["phases"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", [name if name == "lenet5-mnist" else pytest.param(name, marks=pytest.mark.thorough) for name in CONFIGS]
)
def test_a_config_runs_whole_at_a_small_scale(name: str, small_root: Any, tmp_path: Path) -> None:
    config = Config.from_yaml(CONFIGS[name], small_settings(name, small_root(data_name(name))))
    summary = Study(config, tmp_path / "run").run()
    rows = {row["name"]: row for row in summary["rows"]}
    assert rows.keys() == {"dense", "pruned", "vanilla", "srelu", "best_single", "stage1", "stage2", "safs"}
    assert all(row["test_accuracy"]["n"] == 1 for row in rows.values())
    total = rows["dense"]["nonzero"]
    assert 0.01 * total <= rows["safs"]["nonzero"] <= 0.0105 * total
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
