"""A study: one whole search, with one run directory. Running it again is resuming it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from safs.config.schema import Config
from safs.describe import dense_flops
from safs.export import write_best
from safs.files import to_json, write_atomically
from safs.journal import Journal
from safs.observer import Observer, Silent
from safs.pipeline.assess import assess, load_trained
from safs.pipeline.optimise import optimise
from safs.pipeline.plan import searches, steps
from safs.pipeline.prepare import Prepared
from safs.pipeline.rows import row_specs, train_rows
from safs.pipeline.stage1 import NoValidTrialError
from safs.report.page import write_report
from safs.runner import Runner, network_path
from safs.session import announce, open_session
from safs.spec import TrialSpec
from safs.summary import summarise
from safs.surgery import read_choices
from safs.trial import Problem
from spaces.errors import SafsError


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
        if importlib.util.find_spec("smac") is None:
            raise SafsError("Stage 2 needs the package smac, which is not installed: pip install smac.")
        with open_session(self.config, self.folder, self._observer, resume=resume, purpose="study") as session:
            return self._search(session.prepared, session.runner, session.journal)

    def _search(self, prepared: Prepared, runner: Runner, journal: Journal) -> dict[str, Any]:
        config, problem = self.config, prepared.problem
        described = announce(config, prepared, self._observer)
        examples = len(problem.data)
        work = sum(steps(spec, examples) for phase in searches(config, problem) for spec in phase.specs)
        self._observer.expect(work, lambda spec: steps(spec, examples))
        described["flops"] = dense_flops(problem.model, problem.data.shape)
        described["data"] = problem.data.describe()
        if not any(record["kind"] == "problem" for record in journal.records):
            journal.append({"kind": "problem", **described})
        if config.model.pretrain is not None and prepared.dense is not None:
            write_atomically(
                self.folder / "dense.safetensors",
                save({name: tensor.cpu().contiguous() for name, tensor in prepared.dense.items()}),
            )
        stage1, tuned = optimise(config, problem, runner, self._observer)
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
