"""`safs compare`: which searcher is best on a network, or on a table that was made of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from safs.cli.options import (
    Output,
    OutputOption,
    QuietOption,
    ResumeOption,
    RunDirOption,
    SettingsOption,
    VerboseOption,
    check_verbosity,
)
from safs.cli.running import watched
from spaces.errors import SafsError


def compare(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="The YAML file of the study.")] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="NAME|FILE", help="Replay a table instead of training.")
    ] = None,
    searchers: Annotated[
        str | None, typer.Option("--searchers", metavar="A,B,...", help="As compare.searchers; such as lahc,sa,rs,bo.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="As compare.seeds.")] = None,
    settings: SettingsOption = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="DIR", help="Another comparison: do the two agree?")
    ] = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare searchers on equal budgets, with their uncertainty; more seeds or searchers go on with --resume."""
    from safs.comparison.compare import compare_live, compare_on_table
    from safs.comparison.reference import read_comparison
    from safs.comparison.table import find_table
    from safs.config.schema import Config

    verbosity = check_verbosity(quiet, verbose)
    if (config is None) == (table is None):
        raise SafsError("Give either CONFIG, to train, or --table, to replay one.")
    given = list(settings or ())
    given += [f"compare.searchers=[{searchers}]"] if searchers is not None else []
    given += [f"compare.seeds={seeds}"] if seeds is not None else []
    other = read_comparison(reference) if reference is not None else None
    more = ["--reference", str(reference)] if reference is not None else []
    if table is not None:
        costs = find_table(table)
        folder = run_dir or Path("runs") / f"compare-{Path(table).stem}"
        words = ["compare", "--table", table, *(word for each in given for word in ("--set", each)), *more]
        with watched(folder, words, verbosity) as observer:
            result = compare_on_table(costs, Path(table).stem, given, folder, observer, resume=resume, reference=other)
    else:
        assert config is not None
        checked = Config.from_yaml(config, given)
        folder = run_dir or Path("runs") / f"{config.stem}-compare"
        with watched(folder, ["compare", str(folder / "config.yaml"), *more], verbosity) as observer:
            result = compare_live(checked, folder, observer, resume=resume, reference=other)
    _print(result, folder, output)


def _print(result: dict[str, Any], folder: Path, output: Output) -> None:
    from rich.console import Console

    from safs.comparison.text import summary_lines, summary_table

    if output is Output.JSON:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    Console().print(summary_table(result))
    for line in summary_lines(result):
        typer.echo(line)
    typer.echo(f"Page: {(folder / 'comparison.html').resolve()}")
