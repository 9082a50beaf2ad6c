"""Small run directories, written through the project's own `to_json` functions."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from safs.config.schema import Config
from safs.files import to_json
from safs.outcome import Reason, Status, TrialOutcome
from safs.spec import TrialSpec
from safs.summary import ROWS

FAILED = TrialOutcome(Status.FAILED, reason=Reason.NAN, traceback="…", seconds=0.5)
FOUND = {"lr": 0.02, "optimizer": "sgd", "momentum": 0.5, "scale_lr": 0.3, "schedule": "step"}
MEANS = dict(zip(ROWS, (97.0, 10.0, 60.0, 70.0, 75.0, 77.0, 66.0, 83.0), strict=True))


def success(cost, **metrics):
    return TrialOutcome(Status.SUCCEEDED, cost=cost, metrics={"train_loss": cost, **metrics}, seconds=1.25)


@dataclass
class FakeRun:
    """A finished study, to be changed before it is written."""

    sites: tuple[str, ...] = ("relu1", "relu2")
    seeds: int = 3
    channels: int = 0
    operators: tuple[str, ...] = ("srs", "symexp", "tanh")
    model: str = "lenet5"
    ceiling: float = 100.0
    failing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    means: dict[str, float] = field(default_factory=lambda: dict(MEANS))
    uniform_costs: tuple[float | None, ...] = (1.0, None, 1.4)
    stage1_costs: tuple[float | None, ...] = (1.2, 0.8, None)

    def config(self) -> Config:
        protocol = {"epochs": 3, "batch_size": 64}
        return Config.from_mapping(
            {
                "model": {"name": self.model, "pretrain": protocol},
                "data": "digits",
                "prune": {"ratio": 0.98},
                "train": protocol,
                "stage1": {"iterations": len(self.stage1_costs) or 1, "operators": self.operators},
                "stage2": {"trials": 2, "folds": 2},
                "report": {"seeds": self.seeds},
            }
        )

    @property
    def original(self):
        return ("relu",) * len(self.sites)

    @property
    def found(self):
        return tuple(self.operators[site % len(self.operators)] for site in range(len(self.sites)))

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(self.config().to_yaml(), encoding="utf-8")
        lines = [json.dumps(record, allow_nan=False) for record in self.records()]
        (folder / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "summary.json").write_text(to_json(self.summary()), encoding="utf-8")
        if "safs" not in self.failing:
            (folder / "best").mkdir(exist_ok=True)
            (folder / "best" / "activations.json").write_text(to_json(self.activations()), encoding="utf-8")
        return folder

    def records(self) -> list[dict[str, Any]]:
        versions = {"safs": "0.1.0", "torch": "2.11"}
        return [
            {"kind": "inputs", "checkpoint": None, "data": "abc", "device": "cpu", "versions": versions},
            {"kind": "problem", **self.problem()},
            *(self._trial(*trial) for trial in self.trials()),
            {"kind": "test", "scores": self.scores()},
        ]

    def _trial(self, phase, spec, outcome):
        return {
            "kind": "trial",
            "id": spec.id,
            "phase": phase,
            "spec": spec.to_json(),
            "outcome": outcome.to_json(),
        }

    def trials(self):
        config = self.config()
        plain = TrialSpec(network="pruned", assignment=self.original, protocol=config.train, study_seed=0)
        yield "dense", replace(plain, network="dense", keep=True), success(0.01)
        for operator, cost in zip(self.operators, self.uniform_costs, strict=False):
            yield (
                "uniform",
                replace(plain, assignment=(operator,) * len(self.sites)),
                FAILED if cost is None else success(cost),
            )
        for number, cost in enumerate(self.stage1_costs):
            yield (
                "stage1",
                replace(plain, assignment=self.found, study_seed=100 + number),
                FAILED if cost is None else success(cost),
            )
        for phase, assignment in (("safs", self.found), ("stage2", self.original)):
            for lr in (0.01, 0.02):
                protocol = config.train.tuned({**FOUND, "lr": lr})
                for fold in range(2):
                    spec = replace(plain, assignment=assignment, protocol=protocol, learn=True, folds=2, fold=fold)
                    yield phase, spec, FAILED if (lr, fold) == (0.01, 1) else success(0.25)
        tuned = config.train.tuned(FOUND)
        for seed in range(self.seeds):
            final = replace(plain, keep=True, study_seed=seed)
            rows = {
                "vanilla": final,
                "safs": replace(final, learn=True, assignment=self.found, protocol=tuned),
            }
            for name, spec in rows.items():
                yield "final", spec, FAILED if name in self.failing else success(0.5, gradient_flow=[0.0, 0.2, 40.0])

    def problem(self):
        layers = [
            {"name": "conv1", "nonzero": 3, "total": 150, "outputs": 6, "connected": 3},
            {"name": "fc1", "nonzero": 9, "total": 450, "outputs": 10, "connected": 7},
        ]
        mask = {"sparsity": 0.98, "nonzero": 12, "total": 600, "layers": layers, "logits": 10}
        mask |= {"connected_logits": 7, "accuracy_ceiling": self.ceiling}
        sites = [{"name": site, "operator": "relu", "shape": [6, 4, 4]} for site in self.sites]
        return {"model": self.model, "traced": "fx", "sites": sites, "gates": [], "mask": mask, "warnings": []}

    def _seeds(self, name):
        if name in self.failing:
            return []
        return [self.means[name] + seed for seed in range(1 if name in ("dense", "pruned") else self.seeds)]

    def scores(self):
        names = [name for name in ROWS if name not in self.missing]
        return {name: [{"accuracy": value / 100, "loss": 1.0} for value in self._seeds(name)] for name in names}

    def summary(self):
        from safs.summary import _spread

        rows = [
            {
                "name": name,
                "test_accuracy": _spread(self._seeds(name)),
                "test_loss": _spread([1.0] * len(self._seeds(name))),
                "failed": self.seeds if name in self.failing else 0,
                "sparsity": 0.0 if name == "dense" else 0.98,
                "nonzero": 600 if name == "dense" else 12,
                "total": 600,
                "flops": 1234,
                "extra_parameters": 4,
            }
            for name in ROWS
            if name not in self.missing
        ]
        arm = {"hyperparameters": FOUND, "validation_accuracy": 75.0}
        return {
            "schema": 1,
            "rows": rows,
            "epochs": 3,
            "seeds": self.seeds,
            "best_single": self.operators[0],
            "assignment": dict(zip(self.sites, self.found, strict=True)),
            "stage1_cost": 0.8,
            "stage2": {"safs": arm, "stage2": arm},
            "accuracy_ceiling": self.ceiling,
        }

    def activations(self):
        def value(number):
            return [number + channel / 10 for channel in range(self.channels)] if self.channels else number

        constants = {"srs": {"a": value(4.8), "b": value(3.2)}}
        entries = [
            {
                "site": site,
                "original": "relu",
                "operator": operator,
                "alpha": value(1.2),
                "beta": value(0.9),
                "constants": constants.get(operator, {}),
            }
            for site, operator in zip(self.sites, self.found, strict=True)
        ]
        model = {"name": self.model, "kwargs": {}}
        return {"schema": 1, "model": model, "input_shape": [1, 28, 28], "sites": entries}


@pytest.fixture
def fake():
    """The class of the run directories."""
    return FakeRun


@pytest.fixture
def run_folder(tmp_path):
    """The run directory of an ordinary study."""
    return FakeRun().write(tmp_path / "study")
