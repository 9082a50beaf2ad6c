"""Memory of a study over 200 trials of LeNet-5 on digits: `python -m benchmarks.memory`.

Prints the resident memory of the process after every 20 trials of one stage-1 search, inline engine. (What stage 2
loads after them, SMAC and scikit-learn, takes about 150 MB more, once.)
"""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

from safs import Config, Study
from safs.outcome import TrialOutcome
from safs.spec import TrialSpec

PROTOCOL = {"epochs": 1, "batch_size": 128, "optimizer": "adam", "lr": 0.01}


def resident_mb() -> float:
    """Return this process's resident memory in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Meter:
    """Prints the memory as the trials go by."""

    def __init__(self) -> None:
        self.trials = 0
        self.first: float | None = None

    def phase(self, name: str, trials: int) -> None:
        """Nothing to measure."""

    def trial(self, phase: str, spec: TrialSpec, outcome: TrialOutcome, cached: bool) -> None:
        """Count, and print every 20 trials."""
        self.trials += not cached
        if not cached and self.trials % 20 == 0:
            gc.collect()
            now = resident_mb()
            self.first = self.first or now
            print(f"{self.trials:4d} trials  {now:7.1f} MB  {now - self.first:+6.1f} MB since trial 20")


def main() -> None:
    """Run 200 trials and print."""
    config = Config.from_mapping(
        {
            "model": {"name": "lenet5", "pretrain": PROTOCOL},
            "data": "digits",
            "prune": {"ratio": 0.9},
            "train": PROTOCOL,
            "stage1": {"searcher": "rs", "iterations": 190, "epochs": 1, "start": "random"},
            "stage2": {"trials": 1, "folds": 2},
            "report": {"seeds": 2},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter()
        Study(config, Path(folder) / "study", meter).run()
        print(f"{meter.trials} trials in all")


if __name__ == "__main__":
    main()
