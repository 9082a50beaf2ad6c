"""A study: one whole search, with one run directory. Running it again is resuming it."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from safs.config.schema import Config
from safs.data.splits import folds, split_fingerprint
from safs.describe import dense_flops, describe
from safs.engines.registry import find_engine
from safs.export import write_best
from safs.files import to_json, write_atomically
from safs.journal import Journal
from safs.pipeline.assess import assess, load_trained
from safs.pipeline.prepare import Prepared, prepare, untrained
from safs.pipeline.rows import row_specs, train_rows
from safs.pipeline.stage1 import NoValidTrialError, search_operators
from safs.pipeline.stage2 import tune
from safs.pipeline.start import Start, read_start
from safs.report.page import write_report
from safs.run_directory import log_path, open_run_directory
from safs.runner import Observer, Runner, Silent, network_path
from safs.spec import TrialSpec
from safs.storage import storing
from safs.summary import summarise
from safs.surgery import read_choices
from safs.trial import Problem
from safs.version import __version__
from spaces.errors import SafsError

_DECIDING = ("torch", "torchvision", "numpy", "smac", "ConfigSpace")
"""Packages whose versions decide what a trial comes to or what is tried next."""


class Study:
    """Searches the activations of one pruned network.

    Every step asks for trials and gets the outcomes of those that the journal holds at once, so that a study that
    was killed and is run again ends as it would have (invariant 4).

    Args:
        config: what to do.
        folder: the run directory; made by `run`.
        observer: is told what happens, to show it.
    """

    def __init__(self, config: Config, folder: Path | str, observer: Observer | None = None) -> None:
        self.config = config
        self.folder = Path(folder)
        self._observer = observer or Silent()

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Run the study to its end and return its summary.

        Raises:
            SafsError: if something in the config, the data or the checkpoint is wrong; nothing has been trained
                and nothing existing been touched then.
            NoValidTrialError: if a stage spent its budget without one valid trial.
            StorageError: if the disk is full or fails; what was finished is kept, and can be resumed.
        """
        start = read_start(self.config)
        initial = untrained(self.config)
        inputs = _inputs(self.config, initial, start)
        engine = find_engine(self.config.resources.engine)(partial(log_path, self.folder))
        with (
            closing(engine),
            storing(self.folder),
            open_run_directory(self.folder, self.config, resume=resume) as journal,
        ):
            _check_inputs(journal, inputs)
            runner = Runner(engine, journal, self.folder, self._observer)
            prepared = prepare(self.config, initial, start, engine, runner, self._observer)
            return self._search(prepared, runner, journal)

    def _search(self, prepared: Prepared, runner: Runner, journal: Journal) -> dict[str, Any]:
        config, problem = self.config, prepared.problem
        shape = problem.data.shape
        described = describe(config.model.name, problem.model, problem.sites, problem.mask, shape, prepared.loaded)
        described["flops"] = dense_flops(problem.model, shape)
        described["data"] = problem.data.describe()
        if not any(record["kind"] == "problem" for record in journal.records):
            journal.append({"kind": "problem", **described})
        for warning in described["warnings"]:
            self._observer.warning(warning)
        if config.model.pretrain is not None and prepared.dense is not None:
            write_atomically(
                self.folder / "dense.safetensors",
                save({name: tensor.cpu().contiguous() for name, tensor in prepared.dense.items()}),
            )
        stage1 = search_operators(config, problem, runner, self._observer)
        tuned = {
            "safs": tune(config, stage1.assignment, "safs", runner, self._observer),
            "stage2": tune(config, problem.sites.original, "stage2", runner, self._observer),
        }
        rows = row_specs(config, problem, stage1, tuned)
        train_rows(rows, runner, self._observer)
        scores = assess(config, prepared, rows, journal, self.folder, self._observer)
        self._write_best(problem, rows["safs"], runner)
        summary = summarise(config, problem, described, stage1, tuned, rows, scores)
        write_atomically(self.folder / "summary.json", to_json(summary))
        write_report(self.folder)
        if not (self.folder / "best").exists():
            raise NoValidTrialError(f"Every seed of the SAFS row failed: see trials/*/log.txt in {self.folder}.")
        return summary

    def _write_best(self, problem: Problem, specs: list[TrialSpec], runner: Runner) -> None:
        """Export the seed with the lowest training loss; the test data has no say in it."""
        costs = {spec: cost for spec in specs if (cost := runner.outcome(spec).cost) is not None}
        if not costs:
            return
        spec = min(costs, key=lambda spec: costs[spec])
        state = load_file(network_path(self.folder, spec))
        choices = read_choices(load_trained(problem, spec, state), problem.sites)
        model = {"name": self.config.model.name, "kwargs": self.config.model.kwargs}
        write_best(self.folder / "best", problem, state, choices, model)


def _inputs(config: Config, initial: Problem, start: Start | None) -> dict[str, Any]:
    """Return what identifies everything that the study reads and the config only names."""
    files = start.sha256 if start else {}
    return {
        "checkpoint": files.get("checkpoint"),
        "mask": files.get("mask"),
        "data": initial.data.fingerprint(),
        "folds": split_fingerprint(folds(initial.data.labels, config.stage2.folds, config.seed)),
        "network": _fingerprint(initial),
        "device": _device_name(initial.data.device),
        "versions": {"safs": __version__} | {name: version(name) for name in _DECIDING},
    }


def _fingerprint(initial: Problem) -> str:
    """Return 16 hexadecimal digits of what the network computes: its graph, and its tensors as they are initialised."""
    digest = hashlib.sha256(initial.sites.code.encode())
    for name, tensor in initial.model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _check_inputs(journal: Journal, inputs: dict[str, Any]) -> None:
    """Journal what the study reads, or refuse to go on if it is not what the journal's trials read."""
    recorded = next((record for record in journal.records if record["kind"] == "inputs"), None)
    if recorded is None:
        journal.append({"kind": "inputs", **inputs})
        return
    for name, value in inputs.items():
        if recorded.get(name) != value:
            raise SafsError(
                f"The study was begun with {name} {recorded.get(name)}, but now finds {value}; "
                "restore it, or start anew in another run directory."
            )
