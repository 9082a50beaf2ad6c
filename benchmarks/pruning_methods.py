"""SAFS does not depend on the pruning method: `python -m benchmarks.pruning_methods [--run-dir DIR] [--set KEY=VALUE]`.

Runs the whole study of the demo (LeNet-5 on the embedded digits, 98 % pruned) once per pruning method, on a smaller
budget: 10 epochs a row, three seeds, 8 iterations of stage 1, 4 trials of stage 2 on two folds. Prints a Markdown
table: test accuracy in percent, mean ± standard deviation over seeds, and the gain of SAFS over vanilla fine-tuning in
points. One or two minutes a method on one core, eight methods; runs are gone on with where they were interrupted.

`--methods` chooses among them; `--set` lays values over the config, such as `--set data=mnist`.
"""

from __future__ import annotations

import argparse
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from safs import Config, Study
from safs.cli.progress import progress

METHODS = {
    "magnitude, layer": ["prune.method=magnitude", "prune.scope=layer"],
    "magnitude, global": ["prune.method=magnitude", "prune.scope=global"],
    "random, layer": ["prune.method=random", "prune.scope=layer"],
    "random, global": ["prune.method=random", "prune.scope=global"],
    "erk": ["prune.method=erk", "prune.scope=null"],
    "snip": ["prune.method=snip", "prune.scope=null"],
    "synflow": ["prune.method=synflow", "prune.scope=null"],
    "imp": ["prune.method=imp", "prune.scope=null", "prune.options={rounds: 5, rewind_epoch: 2}"],
}
BUDGET = [
    "train.epochs=10",
    "stage1.iterations=8",
    "stage1.epochs=4",
    "stage2.trials=4",
    "stage2.folds=2",
    "report.seeds=3",
]
COLUMNS = ("pruned", "vanilla", "best_single", "safs")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", choices=[*METHODS], nargs="*", default=[*METHODS])
    parser.add_argument("--run-dir", type=Path, default=Path("runs/pruning-methods"), help="where the runs go")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    began = time.monotonic()
    rows = [row(name, run(name, options.run_dir, options.settings)) for name in options.methods]
    print(f"| method | {' | '.join(COLUMNS)} | gain |")
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    print("\n".join(rows))
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes.")


def run(name: str, folder: Path, settings: list[str]) -> dict[str, Any]:
    """Return the summary of the study of a method, whose run directory is named after it."""
    config = Config.from_yaml(Path(str(files("safs") / "demo.yaml")), [*METHODS[name], *BUDGET, *settings])
    with progress() as observer:
        return Study(config, folder / name.replace(", ", "-"), observer).run(resume=True)


def row(name: str, summary: dict[str, Any]) -> str:
    """Return a method's row of the table."""
    accuracy = {found["name"]: found["test_accuracy"] for found in summary["rows"]}
    cells = [_cell(accuracy.get(column)) for column in COLUMNS]
    safs, vanilla = accuracy["safs"]["mean"], accuracy["vanilla"]["mean"]
    gain = "–" if safs is None or vanilla is None else f"{safs - vanilla:+.1f}"
    return f"| {name} | {' | '.join(cells)} | {gain} |"


def _cell(accuracy: dict[str, Any] | None) -> str:
    if accuracy is None or accuracy["mean"] is None:
        return "–"
    return f"{accuracy['mean']:.1f}" + (f" ± {accuracy['std']:.1f}" if accuracy["n"] > 1 else "")


if __name__ == "__main__":
    main()
