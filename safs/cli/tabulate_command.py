"""`safs tabulate`: train every assignment of a small space once, for comparisons that replay it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from safs.cli.options import QuietOption, ResumeOption, RunDirOption, SettingsOption, VerboseOption, check_verbosity
from safs.cli.running import watched


def tabulate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file of the study.")],
    settings: SettingsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The table [default: table.json in the run directory].")
    ] = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train every assignment of a small space once, and write their costs to a file that `safs compare` replays."""
    from safs.comparison.table import check_writable
    from safs.comparison.tabulate import tabulate as make_table
    from safs.config.schema import Config
    from safs.storage import storing

    verbosity = check_verbosity(quiet, verbose)
    checked = Config.from_yaml(config, settings or ())
    folder = run_dir or Path("runs") / f"{config.stem}-table"
    path = out or folder / "table.json"
    check_writable(path)
    words = ["tabulate", str(folder / "config.yaml"), *(["--out", str(out)] if out else [])]
    with watched(folder, words, verbosity) as observer:
        table = make_table(checked, folder, observer, resume=resume)
        check_writable(path)  # again: training takes long
        with storing(path):
            table.write(path)
    failed = sum(math.isinf(cost) for cost in table.costs)
    typer.echo(f"{table.space.size} assignments, {failed} failed: {path}")
    typer.echo(f"Compare searchers on it: safs compare --table {path}")
