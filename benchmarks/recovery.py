"""Accuracy won back on MNIST, both masks: `python -m benchmarks.recovery [--scope layer|global] [--run-dir DIR]`.

Runs `configs/lenet5-mnist.yaml` whole, or goes on with it, and prints the table, the gains that were asked for, and
how long the trials took. Forty minutes to an hour a mask on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

from safs import Config, Study
from safs.cli.progress import progress
from safs.report.table import baseline_table

CONFIG = Path(__file__).parent.parent / "configs" / "lenet5-mnist.yaml"
ASKED = {"global": 23.0, "layer": 15.5}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scope", choices=[*ASKED], nargs="*", default=[*ASKED])
    parser.add_argument("--run-dir", type=Path, default=Path("runs"), help="where the run directories go")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    for scope in options.scope:
        config = Config.from_yaml(CONFIG, [f"prune.scope={scope}", *options.settings])
        began = time.monotonic()
        with progress() as observer:
            summary = Study(config, options.run_dir / f"recovery-{scope}", observer).run(resume=True)
        minutes = (time.monotonic() - began) / 60
        Console().print(baseline_table(summary))
        accuracy = {row["name"]: row["test_accuracy"]["mean"] for row in summary["rows"]}
        print(f"scope {scope}: {minutes:.1f} minutes (asked: at most 60, from the start)")
        print(f"  SAFS over vanilla     {accuracy['safs'] - accuracy['vanilla']:+.2f} points (asked: +{ASKED[scope]})")
        print(f"  SAFS over best_single {accuracy['safs'] - accuracy['best_single']:+.2f} points (asked: above 0)")


if __name__ == "__main__":
    main()
